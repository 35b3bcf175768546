/* ringmqd_features.h - the features of this process, from the table and the configuration to the end.
 *
 *     ringmqd_features_know()          before anything of the configuration is printed or read: those built in
 *     ringmqd_features_load()          modules that the configuration names
 *     ringmqd_features_create() …      with the broker */
#ifndef RINGMQ_CMD_RINGMQD_FEATURES_H
#define RINGMQ_CMD_RINGMQD_FEATURES_H

#include "broker/features/features.h"
#include "cmd/ringmqd_config.h"

/* False: said on stderr. */
bool ringmqd_features_know(void);
bool ringmqd_features_load(const struct ringmqd_arguments *arguments);
/* --check: opens and prepares all with this configuration, and gives up again. */
bool ringmqd_features_check(const struct config *config);
/* NULL: logged. */
struct features *ringmqd_features_create(const struct config *config, struct broker *broker);
/* False: a feature refuses the new settings (logged); nothing has changed. */
bool ringmqd_features_prepare(struct features *features, const struct config *config);
/* The control thread's turn: events, and once a second ticks. */
void ringmqd_features_turn(struct features *features, uint64_t *ticked_ms);
void ringmqd_features_print(const struct features *features);
/* --print-features, --print-hooks; returns the exit status. */
int ringmqd_features_act(enum ringmqd_action action);

#endif
