// drops.js - the last messages that were dropped, and why.
import { badge, clientLink, h } from './dom.js'
import { time } from './format.js'
import { listing } from './listing.js'
import { query } from './api.js'

export const drops = (root, context) => listing(root, context, {
  title: 'Drops',
  path: '/drops',
  paged: false,
  always: { limit: 500 },
  off: 'drop_log.',
  about: ['The last messages that were dropped, the newest first. All of them are counted: ', h('a', { href: '#/overview' }, 'Overview'), '.'],
  filters: [{ name: 'clientid', label: 'Client', hint: 'exactly this id' }, { name: 'topic', label: 'Topic', hint: 'site/+/state' }, { name: 'reason', label: 'Reason', hint: 'such as queue_full' }],
  every: 3000,
  key: (row) => `${row.at} ${row.shard} ${row.clientid} ${row.topic}`,
  empty: 'Nothing was dropped, or nothing that fits.',
  columns: () => [
    { label: 'When', cell: (row) => time(row.at) }, { label: 'Reason', cell: (row) => badge(row.reason, 'bad') }, { label: 'Client', class: 'text', cell: (row) => row.cut ? `${row.clientid} …` : row.clientid ? clientLink(row.clientid) : '–' }, { name: 'topic', label: 'Topic', class: 'text' },
    { label: 'What', class: 'text', cell: (row) => row.count > 1 ? `${row.text} (${row.count} messages)` : row.text }, { label: 'Not noted', title: 'Drops of this shard since the row before, which the limit of this list has left out', number: true, cell: (row) => row.not_noted || '' },
    { label: '', cell: (row) => row.clientid && row.topic && !row.cut && h('a', { href: `#/why${query({ clientid: row.clientid, topic: row.topic })}`, 'aria-label': `Why ${row.clientid} ${row.topic}` }, 'Why?') }]
})
