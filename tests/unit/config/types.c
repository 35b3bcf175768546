#include "support.h"

#include "config/types.h"

static const struct schema_word words[] = {{"auto", 0}, {"round_robin", 7}, {"roundrobin", 7}, {NULL, 0}};
static const struct schema_key kinds[] = {
    [TYPE_BOOL] = {.type = TYPE_BOOL},
    [TYPE_UNSIGNED] = {.type = TYPE_UNSIGNED, .min = 5, .max = 100, .words = words},
    [TYPE_SIZE] = {.type = TYPE_SIZE, .max = UINT64_MAX},
    [TYPE_DURATION] = {.type = TYPE_DURATION, .max = UINT64_MAX, .unit_us = 1000},
    [TYPE_RATE] = {.type = TYPE_RATE, .max = UINT64_MAX},
    [TYPE_ENUM] = {.type = TYPE_ENUM, .words = words},
};

static const struct {
    enum schema_type type;
    const char *text;
    uint64_t number;
    const char *shown;
} sound[] = {
    {TYPE_BOOL, "true", 1, "true"},       {TYPE_BOOL, "off", 0, "false"},        {TYPE_BOOL, "YES", 1, "true"},
    {TYPE_UNSIGNED, "5", 5, "5"},         {TYPE_UNSIGNED, "007", 7, "round_robin"}, {TYPE_UNSIGNED, "100", 100, "100"},
    {TYPE_UNSIGNED, "auto", 0, "auto"},   {TYPE_UNSIGNED, "AUTO", 0, "auto"},
    {TYPE_SIZE, "0", 0, "0B"},            {TYPE_SIZE, "300", 300, "300B"},       {TYPE_SIZE, "512k", 524288, "512KiB"},
    {TYPE_SIZE, "1MiB", 1048576, "1MiB"}, {TYPE_SIZE, "16MB", 16000000, "15625KiB"}, {TYPE_SIZE, "1.5 GiB", 1610612736, "1536MiB"},
    {TYPE_SIZE, "1kb", 1000, "1000B"},    {TYPE_SIZE, "2g", 2147483648, "2GiB"}, {TYPE_SIZE, "3 bytes", 3, "3B"},
    {TYPE_SIZE, "1Ti", 1099511627776, "1TiB"}, {TYPE_SIZE, "18446744073709551615", UINT64_MAX, "18446744073709551615B"},
    {TYPE_DURATION, "0", 0, "0s"},        {TYPE_DURATION, "10ms", 10, "10ms"},   {TYPE_DURATION, "5s", 5000, "5s"},
    {TYPE_DURATION, "1h", 3600000, "1h"}, {TYPE_DURATION, "1d", 86400000, "1d"}, {TYPE_DURATION, "1h30m", 5400000, "90m"},
    {TYPE_DURATION, "1.5s", 1500, "1500ms"}, {TYPE_DURATION, "2 weeks", 1209600000, "14d"}, {TYPE_DURATION, "1000us", 1, "1ms"},
    {TYPE_DURATION, "1m 30s", 90000, "90s"},
    {TYPE_RATE, "1000/s", 1000, "1000/s"}, {TYPE_RATE, "600/m", 10, "10/s"},     {TYPE_RATE, "7200/h", 2, "2/s"},
    {TYPE_RATE, "0", 0, "0/s"},
    {TYPE_ENUM, "round_robin", 7, "round_robin"}, {TYPE_ENUM, "Round-Robin", 7, "round_robin"},
    {TYPE_ENUM, "roundrobin", 7, "round_robin"},
};

Test(types, sound)
{
    for (size_t i = 0; i < sizeof sound / sizeof *sound; i++) {
        const struct schema_key *key = &kinds[sound[i].type];
        uint64_t number = 12345, again;
        char text[TYPE_TEXT_BYTES_MAX];
        cr_assert(type_parse(key, span_of_string(sound[i].text), &number), "%s", sound[i].text);
        cr_assert_eq(number, sound[i].number, "%s: %lu", sound[i].text, number);
        type_format(key, number, text, sizeof text);
        cr_assert_str_eq(text, sound[i].shown, "%s", sound[i].text);
        cr_assert(type_parse(key, span_of_string(text), &again) && again == number, "%s", text);
    }
}

static const struct {
    enum schema_type type;
    const char *text;
} wrong[] = {
    {TYPE_BOOL, ""},        {TYPE_BOOL, "1"},          {TYPE_BOOL, "tru"},     {TYPE_UNSIGNED, "4"},       {TYPE_UNSIGNED, "101"},
    {TYPE_UNSIGNED, ""},    {TYPE_UNSIGNED, "-5"},     {TYPE_UNSIGNED, "5.5"}, {TYPE_UNSIGNED, "5x"},      {TYPE_UNSIGNED, " 5"},
    {TYPE_UNSIGNED, "18446744073709551616"},           {TYPE_UNSIGNED, "1e1"}, {TYPE_SIZE, "MiB"},         {TYPE_SIZE, "1XB"},
    {TYPE_SIZE, "1.3B"},    {TYPE_SIZE, "1..5k"},      {TYPE_SIZE, "1.k"},     {TYPE_SIZE, "1k1k"},        {TYPE_SIZE, "16777216TiB"},
    {TYPE_SIZE, "-1k"},     {TYPE_SIZE, "1MiBs"},      {TYPE_SIZE, "1.0000000001k"}, {TYPE_DURATION, "5"}, {TYPE_DURATION, "s"},
    {TYPE_DURATION, ""},    {TYPE_DURATION, "5x"},     {TYPE_DURATION, "1h30"}, {TYPE_DURATION, "1us"},    {TYPE_DURATION, "-1s"},
    {TYPE_DURATION, "400000000000000d"},               {TYPE_RATE, "5"},       {TYPE_RATE, "5/x"},         {TYPE_RATE, "61/m"},
    {TYPE_RATE, "/s"},      {TYPE_RATE, "5/s5"},       {TYPE_ENUM, "7"},       {TYPE_ENUM, ""},            {TYPE_ENUM, "round"},
    {TYPE_ENUM, "round__robin"},
};

Test(types, wrong)
{
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint64_t number = 12345;
        cr_assert_not(type_parse(&kinds[wrong[i].type], span_of_string(wrong[i].text), &number), "%s", wrong[i].text);
        cr_assert_eq(number, 12345);
    }
}

Test(types, described)
{
    char text[512];
    type_describe(schema_find(&SCHEMA, "node.shards"), text, sizeof text);
    cr_assert_str_eq(text, "a whole number from 1 to 64, or auto");
    type_describe(schema_find(&SCHEMA, "mqtt.session_expiry_interval"), text, sizeof text);
    cr_assert_str_eq(text, "a duration from 0s to 4294967294s, or never or infinity");
    type_describe(schema_find(&SCHEMA, "mqtt.mqueue_policy"), text, sizeof text);
    cr_assert_str_eq(text, "drop_newest, drop_oldest or disconnect");
    type_describe(schema_find(&SCHEMA, "node.name"), text, sizeof text);
    cr_assert_str_eq(text, "a string of 1 to 64 bytes");
}
