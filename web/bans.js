// bans.js - who may not connect.
import { button } from './dom.js'
import { time, relative } from './format.js'
import { act, confirm } from './dialog.js'
import { listing } from './listing.js'
import { ban, KINDS } from './ban.js'
import { remove, may, segment } from './api.js'

const kind = Object.fromEntries(KINDS)

export const bans = (root, context) => listing(root, context, {
  title: 'Bans',
  path: '/banned',
  off: 'banned.',
  about: 'Who may not connect: by client id, user name, address, network or pattern.',
  filters: [{ name: 'like_who', label: 'Who', hint: 'part of it' }, { name: 'as', label: 'Banned by', options: [['', 'anything'], ...KINDS] }],
  every: 10000,
  key: (row) => `${row.as} ${row.who}`,
  empty: 'Nobody is banned, or no ban fits.',
  actions: ({ load }) => may('operator') && [
    button('Ban somebody', act(async () => { if (await ban()) await load() }), { kind: 'primary' }),
    button('End all bans', act(async () => {
      if (!await confirm('End all bans? Everybody on the list may connect again.', 'End all')) return false
      await remove('/banned')
      await load()
    }, 'The list is empty.'), { kind: 'danger' })],
  columns: ({ load }) => [
    { label: 'By', cell: (row) => kind[row.as] ?? row.as }, { name: 'who', label: 'Who', class: 'text' }, { name: 'reason', label: 'Reason', class: 'text' },
    { label: 'Since', cell: (row) => time(row.at) }, { label: 'Until', cell: (row) => row.until ? [time(row.until), ` (${relative(row.until)})`] : 'for good' }, { name: 'by', label: 'Banned by', class: 'text' },
    may('operator') && { label: '', cell: (row) => button('End the ban', act(async () => {
      if (!await confirm(`End the ban of ${row.who}?`, 'End it')) return
      await remove(`/banned/${segment(row.as)}/${segment(row.who)}`)
      await load()
    }), { name: `End the ban of ${row.who}` }) }]
})
