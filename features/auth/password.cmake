# Hashes and password files: the feature and `ringmq passwd` have them in common, so they are there whatever RINGMQ_FEATURES says.
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(ARGON2 REQUIRED IMPORTED_TARGET libargon2)
pkg_check_modules(CRYPT REQUIRED IMPORTED_TARGET libcrypt)
set(password ${CMAKE_SOURCE_DIR}/features/auth)
add_library(ringmq_auth_password STATIC ${password}/encode.c ${password}/password.c ${password}/password_file.c)
target_include_directories(ringmq_auth_password PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(ringmq_auth_password PUBLIC ringmq_base PkgConfig::CRYPTO PkgConfig::ARGON2 PkgConfig::CRYPT)
# The built-in user database: the feature's and `ringmq users`'.
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(IDN REQUIRED IMPORTED_TARGET libidn)
add_library(ringmq_auth_users STATIC ${password}/users.c ${password}/users_file.c ${password}/users_exchange.c ${password}/users_json.c ${password}/scram.c ${password}/saslprep.c
                                     ${password}/answer.c ${password}/reply.c ${password}/cache.c)
target_link_libraries(ringmq_auth_users PUBLIC ringmq_auth_password PkgConfig::JANSSON PkgConfig::IDN m)
