// trace.js - the list of traces: every packet and every decision about a client, a topic, an address or a user, for a while.
import { h, badge, button } from './dom.js'
import { bytes, relative, time } from './format.js'
import { act, confirm } from './dialog.js'
import { ask, select } from './form.js'
import { listing } from './listing.js'
import { post, remove, segment } from './api.js'

const TYPES = [['clientid', 'client id'], ['topic', 'topic filter'], ['ip_address', 'address'], ['username', 'user name'], ['clientid_pattern', 'client ids like'], ['username_pattern', 'user names like']]
const HINTS = { clientid: 'sensor-7', topic: 'site/+/state', ip_address: '192.0.2.7 or 10.0.0.0/8', username: 'ann', clientid_pattern: 'bot-*: * any characters, ? one', username_pattern: 'guest-*: * any characters, ? one' }
const ENDS = { time: 'its time was over', size: 'its file was full', stopped: 'stopped', restart: 'the broker was restarted', disk: 'the disk failed' }
export const typeName = Object.fromEntries(TYPES)

export const path = (name) => `/trace/${segment(name)}`
export const state = (one) => one.status === 'running' ? badge('running', 'good') : badge(one.end ? `over: ${ENDS[one.end] ?? one.end}` : 'over')

// "sensor-7-143005": part of what is traced, and the time.
function nameFor (value) {
  const part = value.replace(/[^A-Za-z0-9_-]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 40)
  return `${part || 'trace'}-${new Date().toTimeString().slice(0, 8).replaceAll(':', '')}`
}

// Asks what to trace, begins it and goes to its page. known: { type, value } that are offered.
export async function startTrace (known = {}) {
  const value = h('input', { required: true, value: known.value ?? '', maxlength: 4096, autocomplete: 'off', spellcheck: 'false', placeholder: HINTS[known.type ?? 'clientid'] })
  const type = select(TYPES, { value: known.type ?? 'clientid', onchange: () => { value.placeholder = HINTS[type.value] } })
  const made = await ask('Start a trace', [
    ['type', 'Trace by', type], ['value', 'Which', value],
    ['duration_s', 'For', select([['60', '1 minute'], ['600', '10 minutes'], ['3600', '1 hour']], { value: '600' }), 'It ends by itself.'],
    ['payload', 'Payloads', select([['hidden', 'hidden'], ['text', 'as text'], ['hex', 'as bytes']])]],
  'Start', ({ type, value, duration_s: duration, payload }) => post('/trace', { name: nameFor(value), type, value, duration_s: Number(duration), payload }))
  if (made) window.location.hash = `#/trace/${encodeURIComponent(made.name)}`
}

export const traces = (root, context) => listing(root, context, {
  title: 'Trace',
  path: '/trace',
  paged: false,
  off: 'trace.',
  about: 'Every packet of a client, a topic, an address or a user in words, and every decision about it, for a limited time.',
  every: 3000,
  key: (row) => row.name,
  empty: 'Nothing is traced, and nothing was.',
  actions: ({ load }) => [button('Start a trace', act(() => startTrace()), { kind: 'primary' }), button('Delete all', act(async () => {
    if (!await confirm('Stop and delete all traces with what they have recorded?', 'Delete all')) return
    await remove('/trace')
    await load()
  }), { kind: 'danger' })],
  columns: ({ load }) => [
    { label: 'Name', class: 'text', cell: (row) => h('a', { href: `#/trace/${encodeURIComponent(row.name)}` }, row.name) },
    { label: 'Traces', cell: (row) => typeName[row.type] ?? row.type }, { name: 'value', label: 'Which', class: 'text' }, { label: 'State', cell: state },
    { label: 'Started', cell: (row) => time(row.started_at) }, { label: 'Ends', cell: (row) => row.status === 'running' ? row.ends_at && relative(row.ends_at) : time(row.stopped_at) },
    { name: 'records', label: 'Records', number: true }, { label: 'Size', number: true, cell: (row) => bytes(row.bytes) }, { label: 'Lost', number: true, cell: (row) => row.lost ? badge(row.lost, 'warn') : '0' },
    { label: '', cell: (row) => h('div', { class: 'buttons' }, row.status === 'running' && button('Stop', act(async () => { await post(`/trace/${segment(row.name)}/stop`); await load() }), { name: `Stop ${row.name}` }),
      button('Delete', act(async () => {
        if (!await confirm(`Delete the trace ${row.name}?`, 'Delete')) return
        await remove(path(row.name))
        await load()
      }), { name: `Delete ${row.name}` })) }]
})
