int ringmq_check(int argc, char **argv); int ringmq_check(int argc, char **argv) { return 1; }
