# The target ringmq_wolfssl, by RINGMQ_WOLFSSL:
#   private   what scripts/build-wolfssl makes of the distribution's source package: AES-NI, QUIC, 9 KB a session (the default)
#   system    the distribution's libwolfssl-dev as packaged: no AES-NI, 59 KB a session; ringmqd says so at start
set(RINGMQ_WOLFSSL private CACHE STRING "private: built by scripts/build-wolfssl; system: libwolfssl-dev")
set_property(CACHE RINGMQ_WOLFSSL PROPERTY STRINGS private system)
add_library(ringmq_wolfssl INTERFACE)
if(RINGMQ_WOLFSSL STREQUAL "system")
  pkg_check_modules(WOLFSSL REQUIRED IMPORTED_TARGET wolfssl>=5.5)
  target_link_libraries(ringmq_wolfssl INTERFACE PkgConfig::WOLFSSL)
  target_compile_definitions(ringmq_wolfssl INTERFACE RINGMQ_WOLFSSL_SYSTEM)
elseif(RINGMQ_WOLFSSL STREQUAL "private")
  execute_process(COMMAND ${CMAKE_SOURCE_DIR}/scripts/build-wolfssl OUTPUT_VARIABLE prefix OUTPUT_STRIP_TRAILING_WHITESPACE
                  RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "scripts/build-wolfssl failed, see above; -DRINGMQ_WOLFSSL=system takes libwolfssl-dev instead")
  endif()
  set_property(DIRECTORY ${CMAKE_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
               ${CMAKE_SOURCE_DIR}/scripts/build-wolfssl ${CMAKE_SOURCE_DIR}/build/deps/wolfssl.built)
  # BEFORE: libwolfssl-dev may be installed, too.
  target_include_directories(ringmq_wolfssl SYSTEM BEFORE INTERFACE ${prefix}/include)
  target_link_libraries(ringmq_wolfssl INTERFACE ${prefix}/lib/libwolfssl.a m Threads::Threads)
  # OpenSSL's names in it stay inside: a client library that brings OpenSSL must not find them (internals/tls.md).
  target_link_options(ringmq_wolfssl INTERFACE -Wl,--exclude-libs,libwolfssl.a)
else()
  message(FATAL_ERROR "RINGMQ_WOLFSSL is ${RINGMQ_WOLFSSL}; write private or system")
endif()
