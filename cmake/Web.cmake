# ringmq_web(TARGET): the files of web/ into the library TARGET, as they are and gzip'd, with a table (admin/web.h). gzip is a part of every Debian.
# With -DRINGMQ_DASHBOARD=OFF the table is empty: the broker then says so where the dashboard would be.
option(RINGMQ_DASHBOARD "put the dashboard (web/) into ringmqd" ON)

set(RINGMQ_WEB_TYPES "html=text/html" "js=text/javascript" "css=text/css" "svg=image/svg+xml")

# cmake -P: makes OUT/web_files.c of FILES; see below.
if(CMAKE_SCRIPT_MODE_FILE)
  set(table "")
  set(data "")
  set(index 0)
  foreach(file ${FILES})
    get_filename_component(name ${file} NAME)
    string(REGEX REPLACE ".*\\." "" ending ${name})
    set(type "")
    foreach(pair ${RINGMQ_WEB_TYPES})
      if(pair MATCHES "^${ending}=(.*)")
        set(type "${CMAKE_MATCH_1}; charset=utf-8")
      endif()
    endforeach()
    if(NOT type)
      message(FATAL_ERROR "web/${name}: no content type is known for it (cmake/Web.cmake)")
    endif()
    execute_process(COMMAND gzip -9nc ${file} OUTPUT_FILE ${OUT}/${name}.gz RESULT_VARIABLE failed)
    if(failed)
      message(FATAL_ERROR "gzip ${file}: ${failed}")
    endif()
    file(SHA256 ${file} hash)
    string(SUBSTRING ${hash} 0 32 hash)
    file(SIZE ${file} plain_bytes)
    file(SIZE ${OUT}/${name}.gz gzip_bytes)
    string(APPEND data "INCLUDE(web_plain_${index}, \"${file}\")\nINCLUDE(web_gzip_${index}, \"${OUT}/${name}.gz\")\n")
    string(APPEND table "    {\"${name}\", \"${type}\", \"\\\"${hash}\\\"\", {web_plain_${index}, ${plain_bytes}}, {web_gzip_${index}, ${gzip_bytes}}},\n")
    math(EXPR index "${index} + 1")
  endforeach()
  file(WRITE ${OUT}/web_files.c "/* Made by cmake/Web.cmake from web/. */
#include \"admin/web.h\"

#define INCLUDE(name, path) \\
    __asm__(\".pushsection .rodata\\n\" #name \":\\n.incbin \\\"\" path \"\\\"\\n.popsection\\n\"); \\
    extern const uint8_t name[] __attribute__((visibility(\"hidden\")));
${data}
const struct web_file web_files[] = {
${table}    {0},
};
const uint32_t web_files_count = ${index};
")
  return()
endif()

function(ringmq_web target)
  if(RINGMQ_DASHBOARD)
    file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/web/*)
  else()
    message(STATUS "ringmqd is built without the dashboard (RINGMQ_DASHBOARD=OFF)")
    set(files "")
  endif()
  set(out ${CMAKE_BINARY_DIR}/web)
  file(MAKE_DIRECTORY ${out})
  add_custom_command(
    OUTPUT ${out}/web_files.c
    COMMAND ${CMAKE_COMMAND} "-DFILES=${files}" -DOUT=${out} -P ${CMAKE_SOURCE_DIR}/cmake/Web.cmake
    DEPENDS ${files} ${CMAKE_SOURCE_DIR}/cmake/Web.cmake
    COMMENT "the dashboard's files" VERBATIM)
  target_sources(${target} PRIVATE ${out}/web_files.c)
  set_source_files_properties(${out}/web_files.c PROPERTIES OBJECT_DEPENDS "${files}")
endfunction()
