# SPDX-License-Identifier: MIT

# eps_room(NAME SOURCES a.cc… [USES room…] [LINK target…] [TESTS a_test.cc…] [TEST_LINK target…])
#
# One room (module): the static library eps_NAME, the rooms it may include (USES, checked against the layer
# table by test/lint), the outside libraries it needs (LINK), and one unit-test program unit_NAME from the tests beside
# the sources, with what only they need (TEST_LINK).
function(eps_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;USES;LINK;TESTS;TEST_LINK" ${ARGN})
  add_library(eps_${name} STATIC ${ROOM_SOURCES})
  target_link_libraries(eps_${name} PUBLIC eps_flags)
  foreach(room IN LISTS ROOM_USES)
    target_link_libraries(eps_${name} PUBLIC eps_${room})
  endforeach()
  target_link_libraries(eps_${name} PUBLIC ${ROOM_LINK})
  if(EPS_TESTS AND ROOM_TESTS)
    find_package(GTest REQUIRED)
    add_executable(unit_${name} ${ROOM_TESTS})
    target_include_directories(unit_${name} PRIVATE ${CMAKE_SOURCE_DIR}/test)
    target_compile_definitions(unit_${name} PRIVATE EPS_TEST_DATA="${CMAKE_SOURCE_DIR}/test/data")
    target_link_libraries(unit_${name} PRIVATE eps_${name} ${ROOM_TEST_LINK} GTest::gmock GTest::gtest_main)
    if(EPS_SANITIZE OR CMAKE_CROSSCOMPILING)
      # One process for all cases: starts are too expensive with a sanitizer or an emulator.
      add_test(NAME unit_${name}${EPS_TEST_SUFFIX} COMMAND unit_${name} --gtest_brief=1)
      set_tests_properties(unit_${name}${EPS_TEST_SUFFIX} PROPERTIES LABELS unit TIMEOUT 120)
      if(CMAKE_CROSSCOMPILING)
        set_tests_properties(unit_${name} PROPERTIES TIMEOUT 1200)  # an emulator is many times slower
      endif()
    else()
      # One process per case, so that ctest names and times it; those of one room still run one after the other.
      include(GoogleTest)
      gtest_discover_tests(unit_${name} TEST_PREFIX unit_${name}. EXTRA_ARGS --gtest_brief=1
        DISCOVERY_TIMEOUT 60 PROPERTIES LABELS unit TIMEOUT 120 RESOURCE_LOCK unit_${name})
    endif()
  endif()
endfunction()
