# eps_room(NAME SOURCES a.cc… [USES room…] [LINK target…] [TESTS a_test.cc…] [TEST_LINK target…])
#
# One room of the house: the static library eps_NAME, the rooms it may include (USES, checked against the layer
# table by test/lint), the outside libraries it needs (LINK), and one unit-test program unit_NAME from the tests that
# stand beside the sources, with what only they need (TEST_LINK).
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
    add_test(NAME unit_${name}${EPS_TEST_SUFFIX} COMMAND unit_${name} --gtest_brief=1)
    set_tests_properties(unit_${name}${EPS_TEST_SUFFIX} PROPERTIES LABELS unit TIMEOUT 120)
  endif()
endfunction()
