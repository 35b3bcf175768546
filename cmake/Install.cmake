# What `cmake --install` puts where; scripts/package makes the Debian packages of it.
#   broker   programs, man pages, completions, unit, configuration, documents      tune   ringmq-tune
#   modules  features built as lib/ringmq/*.so
# The man pages and completions are printed by the programs just built (cmake/Manual.cmake).
include(GNUInstallDirs)
set(manual ${CMAKE_BINARY_DIR}/manual)
add_custom_command(
  OUTPUT ${manual}/.made
  COMMAND ${CMAKE_COMMAND} -DRINGMQ=$<TARGET_FILE:ringmq> -DRINGMQD=$<TARGET_FILE:ringmqd> -DTUNE=${CMAKE_SOURCE_DIR}/scripts/tune
          -DSOURCE=${CMAKE_SOURCE_DIR} -DOUT=${manual} -P ${CMAKE_SOURCE_DIR}/cmake/Manual.cmake
  DEPENDS ringmq ringmqd ${CMAKE_SOURCE_DIR}/scripts/tune ${CMAKE_SOURCE_DIR}/cmake/Manual.cmake
  COMMENT "man pages and completions" VERBATIM)
add_custom_target(manual ALL DEPENDS ${manual}/.made)

install(TARGETS ringmqd DESTINATION ${CMAKE_INSTALL_SBINDIR} COMPONENT broker)
install(TARGETS ringmq DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT broker)
install(DIRECTORY ${manual}/broker/ DESTINATION share COMPONENT broker)
install(DIRECTORY docs/ DESTINATION share/doc/ringmq/docs COMPONENT broker FILES_MATCHING PATTERN "*.md")
install(FILES README.md CHANGELOG.md DESTINATION share/doc/ringmq COMPONENT broker)
install(FILES ringmq.conf DESTINATION share/doc/ringmq/examples COMPONENT broker)
install(SCRIPT packaging/InstallSystem.cmake COMPONENT broker)
# Whatever features were built as modules.
install(DIRECTORY ${CMAKE_BINARY_DIR}/features/ DESTINATION lib/ringmq COMPONENT modules
        FILES_MATCHING PATTERN "*.so" PATTERN "CMakeFiles" EXCLUDE PATTERN "example.so" EXCLUDE)
install(PROGRAMS scripts/tune DESTINATION ${CMAKE_INSTALL_SBINDIR} RENAME ringmq-tune COMPONENT tune)
install(DIRECTORY ${manual}/tune/ DESTINATION share COMPONENT tune)
