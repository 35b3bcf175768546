/* fake_feature.h - a feature that makes packets wait at random: nothing is denied, so all that the simulation checks must hold all the same. */
#ifndef RINGMQ_TESTS_SIM_FAKE_FEATURE_H
#define RINGMQ_TESTS_SIM_FAKE_FEATURE_H

#include "broker/features.h"

/* NULL features_create() is our own mistake. `chance`: of 256 packets, how many wait. */
struct features *fake_feature_create(struct broker *broker, const struct settings *settings, uint64_t seed, uint32_t chance);
/* Answers some of the questions that wait. */
void fake_feature_step(void);
/* Takes out the events; returns how many there were. Ends it. */
void fake_feature_destroy(struct features *features);
uint64_t fake_feature_waited(void); /* packets that waited, in all runs */

#endif
