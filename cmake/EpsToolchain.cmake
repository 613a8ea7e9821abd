# SPDX-License-Identifier: MIT

# Compiler settings and the libraries that the rooms link. Everything searched for here is a Debian 12 package;
# `tools/install-packages` lists them.

find_program(EPS_CCACHE ccache)
if(EPS_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${EPS_CCACHE})
endif()

# -O3 takes longer to compile and makes the programs larger, but no faster.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
if(EPS_SANITIZE)
  # Compiles in half the time of -O2 -g; backtraces keep functions and lines.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1 -DNDEBUG")
endif()

add_library(eps_flags INTERFACE)
target_include_directories(eps_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(eps_flags INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # False positives of g++ 12 inside std::variant, std::string and std::vector at -O2 and -O3; clang and the sanitizers watch for the real ones.
  target_compile_options(eps_flags INTERFACE -Wno-maybe-uninitialized -Wno-restrict
                         -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds)
endif()
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  target_compile_options(eps_flags INTERFACE -Wthread-safety)  # see base/mutex.h
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND EPS_SANITIZE MATCHES thread)
  # TSan does not see the fences in Boost.Asio, but it does see the mutexes beside them.
  target_compile_options(eps_flags INTERFACE -Wno-tsan)
endif()
if(EPS_WERROR)
  target_compile_options(eps_flags INTERFACE -Werror)
endif()
if(EPS_SANITIZE)
  target_compile_options(eps_flags INTERFACE -fsanitize=${EPS_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(eps_flags INTERFACE -fsanitize=${EPS_SANITIZE})
endif()
# Hardening, for every build that optimises; see docs/security.md. A packager's choice (dpkg-buildflags, rpm's
# optflags) takes precedence: any kind of flag that it sets, even to switch it off, is left alone. The sanitizers have
# their own memory checks, which do not work with _FORTIFY_SOURCE.
set(EPS_THEIR_FLAGS "${CMAKE_CXX_FLAGS} ${CMAKE_CXX_FLAGS_NONE} ${CMAKE_EXE_LINKER_FLAGS}")
set(EPS_OPTIMISED "$<CONFIG:Release,RelWithDebInfo,MinSizeRel>")
if(EPS_THEIR_FLAGS MATCHES "-O[1-9sz]")
  set(EPS_OPTIMISED "$<NOT:$<CONFIG:Debug>>")
endif()
function(eps_harden kind)
  cmake_parse_arguments(HARDEN "" "" "COMPILE;LINK" ${ARGN})
  if(NOT EPS_THEIR_FLAGS MATCHES "${kind}")
    target_compile_options(eps_flags INTERFACE "$<${EPS_OPTIMISED}:${HARDEN_COMPILE}>")
    target_link_options(eps_flags INTERFACE "$<${EPS_OPTIMISED}:${HARDEN_LINK}>")
  endif()
endfunction()
if(NOT EPS_SANITIZE)
  eps_harden("stack-protector" COMPILE -fstack-protector-strong)
  # Undefined first: some distributions' compilers define it.
  eps_harden("_FORTIFY_SOURCE" COMPILE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
  eps_harden("stack-clash" COMPILE -fstack-clash-protection)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|i.86")
    eps_harden("cf-protection" COMPILE -fcf-protection)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64")
    eps_harden("branch-protection" COMPILE -mbranch-protection=standard)
  endif()
  # dpkg and rpm choose between PIE and not in a file of specs.
  eps_harden("-pie|-no-pie|-f[a-z-]*PI[EC]|-f[a-z-]*pi[ec]|-specs=" COMPILE -fPIE LINK -pie)
  eps_harden("relro" LINK LINKER:-z,relro)
  eps_harden("-z[, ]*(now|lazy)" LINK LINKER:-z,now)
endif()
# One run of ctest may cover several builds (see `check`), so tests of a sanitizer build carry its name.
set(EPS_TEST_SUFFIX "")
if(EPS_SANITIZE)
  get_filename_component(EPS_TEST_SUFFIX ${CMAKE_BINARY_DIR} NAME)
  string(PREPEND EPS_TEST_SUFFIX "@")
endif()
if(EPS_FUZZ)
  target_compile_options(eps_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# Links libraries whose names differ between distributions into the programs, for a package that runs on many.
if(EPS_STATIC_LIBS)
  set(Boost_USE_STATIC_LIBS ON)
  set(Protobuf_USE_STATIC_LIBS ON)
  set(EPS_LOG_LIBS spdlog::spdlog_header_only fmt::fmt-header-only)
  set(archive_suffix .a)
  target_link_options(eps_flags INTERFACE -static-libstdc++ -static-libgcc)
else()
  set(EPS_LOG_LIBS spdlog::spdlog fmt::fmt)
endif()

find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS program_options)
find_package(Protobuf REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(MNL REQUIRED IMPORTED_TARGET libmnl)
find_library(EPS_MINIUPNPC NAMES libminiupnpc${archive_suffix} miniupnpc REQUIRED)
find_library(EPS_NATPMP NAMES libnatpmp${archive_suffix} natpmp REQUIRED)
# intel-ipsec-mb has no CMake package; on other CPUs than x86-64 OpenSSL does the work alone.
find_library(EPS_IPSEC_MB NAMES libIPSec_MB${archive_suffix} IPSec_MB)
