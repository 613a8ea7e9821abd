# SPDX-License-Identifier: MIT

# fish completion of eps, eps-client, eps-server and eps-configure.sh.

function __eps_complete
    set -l candidates /usr/share/eps-conduits/candidates.sh
    set -q EPS_CANDIDATES; and set candidates $EPS_CANDIDATES
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l option
    if string match -qr '^--[a-z-]+=' -- $current
        set option (string replace -r '=.*' '' -- $current)
        set current (string replace -r '^[^=]*=' '' -- $current)
    end
    set -l found (sh $candidates $words $option "$current")
    switch "$found[1]"
        case '<file>'
            set found (__fish_complete_path "$current")
        case '<directory>'
            set found (__fish_complete_directories "$current" '')
    end
    if set -q option[1]
        printf "$option=%s\n" $found
    else
        printf '%s\n' $found
    end
end

for program in eps eps-client eps-server eps-configure.sh
    complete -c $program -f -a '(__eps_complete)'
end
