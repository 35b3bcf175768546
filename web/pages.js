// pages.js - all pages, in the order of the navigation. role: who may see them.
import { overview } from './overview.js'
import { nodes } from './nodes.js'
import { metrics } from './metrics.js'
import { alarms } from './alarms.js'
import { clients } from './clients.js'
import { client } from './client.js'
import { subscriptions, topics } from './topics.js'
import { retained } from './retained.js'
import { delayed } from './delayed.js'
import { slowSubscribers, topicMetrics } from './extras.js'
import { messages } from './console.js'
import { traces } from './trace.js'
import { trace } from './trace_log.js'
import { why } from './why.js'
import { drops } from './drops.js'
import { authentication } from './authentication.js'
import { rules } from './rules.js'
import { bans } from './bans.js'
import { listeners } from './listeners.js'
import { configuration } from './configuration.js'
import { accounts } from './accounts.js'
import { more } from './more.js'

export const GROUPS = ['Monitor', 'Clients', 'Topics', 'Diagnose', 'Access', 'Manage']

// show(root, context): context.rest is what follows the path, null: nothing.
const one = (list, detail) => (root, context) => context.rest === null ? list(root, context) : detail(root, context)

export const PAGES = [
  { group: 'Monitor', path: 'overview', label: 'Overview', show: overview },
  { group: 'Monitor', path: 'nodes', label: 'Nodes', show: nodes },
  { group: 'Monitor', path: 'metrics', label: 'Metrics', show: metrics },
  { group: 'Monitor', path: 'alarms', label: 'Alarms', show: alarms },
  { group: 'Clients', path: 'clients', label: 'Clients', show: one(clients, client) },
  { group: 'Clients', path: 'subscriptions', label: 'Subscriptions', show: subscriptions },
  { group: 'Clients', path: 'slow-subscribers', label: 'Slow subscribers', show: slowSubscribers },
  { group: 'Topics', path: 'topics', label: 'Topics', show: topics },
  { group: 'Topics', path: 'retained', label: 'Retained', show: retained },
  { group: 'Topics', path: 'delayed', label: 'Delayed', show: delayed },
  { group: 'Topics', path: 'topic-metrics', label: 'Topic metrics', show: topicMetrics },
  { group: 'Diagnose', path: 'console', label: 'Messages', show: messages },
  { group: 'Diagnose', path: 'trace', label: 'Trace', show: one(traces, trace), role: 'operator' },
  { group: 'Diagnose', path: 'why', label: 'Why', show: why },
  { group: 'Diagnose', path: 'drops', label: 'Drops', show: drops, role: 'operator' },
  { group: 'Access', path: 'authentication', label: 'Access control', show: authentication },
  { group: 'Access', path: 'rules', label: 'Rules', show: rules },
  { group: 'Access', path: 'bans', label: 'Bans', show: bans },
  { group: 'Manage', path: 'listeners', label: 'Listeners', show: listeners },
  { group: 'Manage', path: 'configuration', label: 'Configuration', show: configuration },
  { group: 'Manage', path: 'access', label: 'Users & keys', show: accounts, role: 'administrator' },
  { group: 'Manage', path: 'more', label: 'More', show: more }
]
