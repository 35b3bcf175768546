/* fake_feature.h - a feature that makes packets wait at random: nothing is denied, so all that the simulation checks must hold all the same. In half of its
 * runs it has a sink on every shard, which is full now and then, and holds acknowledgements and lets them go in any order: what was acknowledged must be
 * safe with it, crashes notwithstanding. And it stores values, which must be there after a crash. */
#ifndef RINGMQ_TESTS_SIM_FAKE_FEATURE_H
#define RINGMQ_TESTS_SIM_FAKE_FEATURE_H

#include "broker/broker.h"
#include "tests/sim/sim_client.h"

/* NULL features_create() is our own mistake. `chance`: of 256 packets, how many wait. */
struct features *fake_feature_create(struct broker *broker, const struct settings *settings, uint64_t seed, uint32_t chance);
/* Answers some of the questions that wait. */
void fake_feature_step(void);
/* Takes out the events; returns how many there were. Ends it. */
void fake_feature_destroy(struct features *features);
/* A new run. */
void fake_feature_begin(void);
/* Now and then, on any shard. */
void fake_feature_chore(struct features_shard *shard);
/* The sinks go, by and by. */
void fake_feature_end_sinks(struct features_shard *shard);
/* This message has been acknowledged. */
void fake_feature_check(uint32_t publisher, uint32_t qos, uint32_t number);
uint64_t fake_feature_sunk(uint64_t *ret_holds); /* messages that sinks have got, in all runs */
uint64_t fake_feature_waited(void); /* packets that waited, in all runs */

#endif
