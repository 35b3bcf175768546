// trace_log.js - one trace: what it has recorded, live while it runs.
import { h, fill, refill, facts, badge, button, clientLink } from './dom.js'
import { bytes, relative, time } from './format.js'
import { act, confirm } from './dialog.js'
import { field, select } from './form.js'
import { path, state, typeName } from './trace.js'
import { download, get, post, query, remove, segment } from './api.js'

const KEPT = 2000 // records in the page; the file has all of them
const BATCH = 1000
const KINDS = { dropped: 'bad', refused: 'bad', lost: 'bad', timeout: 'bad', disconnected: 'warn', paused: 'warn', queued: 'warn', received: 'in', sent: 'out' }

function record (one, traced) {
  const { packet, ...details } = one.details ?? {}
  const more = Object.keys(details).length > 0
  const line = [h('time', { datetime: one.at, title: one.at }, one.at.slice(11, 23)), badge(one.event, KINDS[one.event]), one.clientid !== '' && one.clientid !== traced && h('span', { class: 'who' }, clientLink(one.clientid)), h('span', { class: 'text' }, one.text)]
  return h('li', { 'data-event': one.event }, more ? h('details', null, h('summary', null, line), h('pre', { class: 'payload' }, JSON.stringify(one.details, null, 2))) : line)
}

export async function trace (root, context) {
  const name = context.rest
  const about = h('section'); const list = h('ol', { class: 'log', tabindex: '0', 'aria-label': 'Records' }); const count = h('span', { class: 'note', role: 'status' })
  const part = h('input', { type: 'search', placeholder: 'part of a line', oninput: () => again() }); const event = select([['', 'all']], { onchange: () => again() }); const follow = h('input', { type: 'checkbox', checked: true })
  const kept = []; const events = new Set(); let position = 0; let left = 0; let last
  const fits = (one) => (!event.value || one.event === event.value) && (!part.value || one.text.includes(part.value) || one.clientid.includes(part.value))
  const traced = () => last.type === 'clientid' ? last.value : undefined
  const end = () => { if (follow.checked) list.scrollTop = list.scrollHeight }

  function say () {
    const shown = list.childElementCount
    count.textContent = `${shown} of ${kept.length} records${left ? `; ${left} older ones are in the file only` : ''}`
  }
  function again () {
    fill(list, kept.filter(fits).map((one) => record(one, traced())))
    say()
    end()
  }
  function add (records) {
    for (const one of records.filter(({ event }) => !events.has(event))) { events.add(one.event); event.append(h('option', { value: one.event }, one.event)) }
    kept.push(...records)
    list.append(...records.slice(-KEPT).filter(fits).map((one) => record(one, traced())))
    const gone = kept.splice(0, Math.max(0, kept.length - KEPT))
    left += gone.length
    for (let more = list.childElementCount - kept.filter(fits).length; more > 0; more--) list.firstElementChild.remove()
    say()
    end()
  }
  function show () {
    refill(about, facts([['Traces', typeName[last.type] ?? last.type], ['Which', h('span', { class: 'text' }, last.value)], ['State', state(last)], ['Started', time(last.started_at)],
      last.status === 'running' ? ['Ends', last.ends_at && relative(last.ends_at)] : ['Ended', time(last.stopped_at)], ['Records', last.records], ['Size', `${bytes(last.bytes)} of ${bytes(last.max_bytes)}`],
      ['Lost', last.lost ? badge(`${last.lost}: they came faster than they could be written`, 'warn') : '0']]))
    stop.hidden = last.status !== 'running'
  }
  const stop = button('Stop', act(async () => { last = await post(`/trace/${segment(name)}/stop`); show(); await load() }), { kind: 'danger' })
  const file = (format, ending) => act(() => download(`/trace/${segment(name)}/download${query({ format })}`, `${name}.${ending}`))
  fill(root, h('p', null, h('a', { href: '#/trace' }, '← Trace')), h('h1', { class: 'text' }, name),
    h('div', { class: 'buttons' }, stop, button('Download as text', file('text', 'txt')), button('Download as JSON', file('json', 'ndjson')), button('Delete', act(async () => {
      if (!await confirm(`Delete the trace ${name}?`, 'Delete')) return
      await remove(path(name))
      window.location.hash = '#/trace'
    }), { kind: 'danger' })), about,
    h('form', { class: 'filters', role: 'search', onsubmit: (event) => event.preventDefault() }, field('Lines with', part), field('Event', event), field('Follow', follow)), count, list)

  async function load () {
    last = await get(`/trace/${segment(name)}`, context.signal)
    show()
    for (;;) {
      const some = await get(`/trace/${segment(name)}/log${query({ position, limit: BATCH })}`, context.signal)
      position = some.position
      if (some.data.length) add(some.data)
      if (!some.hasnext || context.signal.aborted) break
    }
  }
  await load()
  if (kept.length === 0) say()
  context.every(1000, async () => { if (last.status === 'running') await load() })
}
