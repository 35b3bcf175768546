// rules.js - what clients may publish and subscribe to: the rules in the order in which they are asked.
import { badge, h } from './dom.js'
import { listing } from './listing.js'

export const rules = (root, context) => listing(root, context, {
  title: 'Rules',
  path: '/authorization/rules',
  off: 'authorization',
  limit: 500,
  about: ['What clients may publish and subscribe to: the first rule that fits decides. Which one decides about a client and a topic is told by ', h('a', { href: '#/why' }, 'Why'), '.'],
  empty: 'There are no rules: authorization.no_match decides.',
  key: (row) => `${row.source} ${row.file} ${row.line}`,
  columns: () => [
    { label: 'Where', class: 'text', cell: (row) => row.file ? `${row.file}:${row.line}` : `${row.source}, line ${row.line}` }, { label: 'Says', cell: (row) => badge(row.permission, row.permission === 'allow' ? 'good' : 'bad') },
    { label: 'Rule', class: 'text', cell: (row) => h('code', null, row.text) }]
})
