// topics.js - subscriptions, and the filters somebody subscribes to.
import { clientLink, h } from './dom.js'
import { listing } from './listing.js'
import { query } from './api.js'

export const subscriptions = (root, context) => listing(root, context, {
  title: 'Subscriptions',
  path: '/subscriptions',
  limit: 100,
  filters: [{ name: 'match_topic', label: 'Who gets topic', hint: 'sensors/7/state' }, { name: 'like_topic', label: 'Filter', hint: 'part of it' }, { name: 'topic', label: 'Exactly this filter', hint: 'sensors/+/state' }, { name: 'like_clientid', label: 'Client id', hint: 'part of it' },
    { name: 'share', label: 'Shared group', hint: 'name' }, { name: 'qos', label: 'QoS', options: [['', 'all'], ['0', '0'], ['1', '1'], ['2', '2']] }],
  key: (row) => `${row.clientid} ${row.topic}`,
  columns: () => [{ label: 'Client', cell: (row) => clientLink(row.clientid), class: 'text' }, { name: 'topic', label: 'Filter', class: 'text' }, { name: 'qos', label: 'QoS', number: true },
    { name: 'share', label: 'Group' }, { label: 'Options', cell: (row) => [row.nl && 'no local ', row.rap && 'retain as published'] }, { name: 'subscription_id', label: 'Identifier', number: true }, { name: 'shard', label: 'Shard', number: true }],
  empty: 'No subscription fits.'
})

export const topics = (root, context) => listing(root, context, {
  title: 'Topics',
  path: '/topics',
  limit: 100,
  about: 'The filters somebody subscribes to.',
  filters: [{ name: 'match_topic', label: 'Matches topic', hint: 'sensors/7/state' }, { name: 'like_topic', label: 'Filter', hint: 'part of it' }],
  key: (row) => `${row.topic} ${row.share} ${row.shard}`,
  columns: () => [{ label: 'Filter', cell: (row) => h('a', { href: `#/subscriptions${query({ topic: row.topic })}` }, row.topic), class: 'text' }, { name: 'share', label: 'Group' },
    { name: 'subscribers', label: 'Subscribers', number: true }, { name: 'shard', label: 'Shard', number: true }],
  empty: 'Nobody subscribes to anything that fits.'
})
