# rooms.cmake - functions that keep the rooms' own CMakeLists short.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)

add_library(tabique_flags INTERFACE)
target_compile_definitions(tabique_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64
  TABIQUE_VERSION="${PROJECT_VERSION}")
target_compile_options(tabique_flags INTERFACE
  -Wall -Wextra -Werror=implicit-function-declaration -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
  -Wwrite-strings -Wformat=2 -Wvla -Wundef -Wno-unused-parameter -Wno-missing-field-initializers
  -fno-strict-aliasing -fno-common -fvisibility=hidden -fstack-protector-strong)
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
  target_compile_options(tabique_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()

set(TABIQUE_SANITIZER_FLAGS "")
if(TABIQUE_SANITIZE)
  set(TABIQUE_SANITIZER_FLAGS -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
endif()

# tabique_room(NAME SOURCES ... DEPS ...): a static library tabique_NAME, with
# the sanitizers where they are on.
function(tabique_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPS;INCLUDES" ${ARGN})
  add_library(tabique_${name} STATIC ${ROOM_SOURCES})
  target_include_directories(tabique_${name} PUBLIC ${CMAKE_SOURCE_DIR}/core ${CMAKE_SOURCE_DIR}/core/include ${ROOM_INCLUDES})
  target_link_libraries(tabique_${name} PUBLIC tabique_flags ${ROOM_DEPS} Threads::Threads)
  target_compile_options(tabique_${name} PRIVATE ${TABIQUE_SANITIZER_FLAGS})
  target_link_options(tabique_${name} INTERFACE ${TABIQUE_SANITIZER_FLAGS})
endfunction()

# tabique_static_room(NAME SOURCES ... DEPS ...): the same sources once more as
# tabique_NAME_static, for the static programs (shim, agent): small, no
# sanitizers (a sanitizer runtime cannot be linked statically).
function(tabique_static_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;DEPS" ${ARGN})
  add_library(tabique_${name}_static STATIC ${ROOM_SOURCES})
  target_include_directories(tabique_${name}_static PUBLIC ${CMAKE_SOURCE_DIR}/core ${CMAKE_SOURCE_DIR}/core/include)
  target_link_libraries(tabique_${name}_static PUBLIC tabique_flags ${ROOM_DEPS})
  target_compile_options(tabique_${name}_static PRIVATE -Os -ffunction-sections -fdata-sections)
endfunction()

# tabique_static_program(NAME SOURCES ... DEPS ...): a small static executable.
function(tabique_static_program name)
  cmake_parse_arguments(PROGRAM "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${PROGRAM_SOURCES})
  target_link_libraries(${name} PRIVATE ${PROGRAM_DEPS})
  target_compile_options(${name} PRIVATE -Os -ffunction-sections -fdata-sections)
  target_link_options(${name} PRIVATE -static -Wl,--gc-sections)
  # Where the server looks for its helpers in a build tree: --libexec-dir.
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/libexec)
endfunction()

# tabique_test(NAME SOURCES ... DEPS ... [LABELS ...] [TIMEOUT s]): a cmocka
# program that ctest runs.
function(tabique_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(test_${name} ${TEST_SOURCES})
  target_link_libraries(test_${name} PRIVATE ${TEST_DEPS} cmocka)
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/unit)
  target_compile_options(test_${name} PRIVATE ${TABIQUE_SANITIZER_FLAGS})
  add_test(NAME ${name} COMMAND test_${name} WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
  if(NOT TEST_TIMEOUT)
    # Only a test that hangs should meet it: sanitizers on a busy machine are slow.
    set(TEST_TIMEOUT 400)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${TEST_TIMEOUT} LABELS "${TEST_LABELS}"
    ENVIRONMENT "ASAN_OPTIONS=detect_leaks=1:abort_on_error=1;UBSAN_OPTIONS=print_stacktrace=1")
endfunction()
