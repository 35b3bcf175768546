// authentication.js - who MQTT clients are: the sources that are asked, what became of logins, remembered logins, and the way to the users of each database.
import { h, fill, refill, facts, badge, button } from './dom.js'
import { short, seconds } from './format.js'
import { act, toast } from './dialog.js'
import { field } from './form.js'
import { table } from './table.js'
import { switchedOff } from './listing.js'
import { databaseUsers } from './database_users.js'
import { get, post, may } from './api.js'

const STATES = { up: 'good', down: 'bad', resting: 'bad' }
const WORDS = { up: 'up', down: 'down', resting: 'resting: does not answer, asked again later', unknown: 'not asked yet' }

const sources = (rows) => table('Sources', [
  { label: 'Source', class: 'text', cell: (row) => row.backend === 'built_in_database' && row.kind === 'authentication' && may('administrator') ? h('a', { href: `#/authentication/${encodeURIComponent(row.name)}` }, row.name) : row.name },
  { label: 'Says', cell: (row) => row.kind === 'authentication' ? 'who a client is' : 'what it may' }, { name: 'backend', label: 'Kind' },
  { label: 'State', cell: (row) => badge(WORDS[row.state] ?? row.state, STATES[row.state]) },
  { label: 'Allowed', number: true, cell: (row) => short(row.allowed) }, { label: 'Refused', number: true, cell: (row) => short(row.denied) }, { label: 'Not its users', number: true, cell: (row) => short(row.ignored) },
  { label: 'Failed', number: true, title: 'It could not be asked', cell: (row) => row.failed ? badge(`${short(row.failed)}${row.timeouts ? `, ${short(row.timeouts)} too slow` : ''}`, 'bad') : '0' },
  { label: 'Waiting', number: true, cell: (row) => short(row.waiting) }, { label: 'Longest answer', number: true, cell: (row) => seconds(row.longest_us / 1e6) },
  { label: 'Last failure', class: 'text', cell: (row) => row.error ?? '–' }
], rows, { empty: 'No source is configured: everybody may connect, from where the listeners allow it.', key: (row) => `${row.kind} ${row.name}` })

const counters = (all) => facts([
  ['Logins', short(all.logins)], ['Answered from memory', short(all.cached)], ['Let in', short(all.allowed)], ['Refused', short(all.denied)],
  ['Refused: no source could be asked', short(all.unavailable)], ['Refused: too many failed before', short(all.throttled)], ['SCRAM exchanges', short(all.scram)], ['Rules asked for again', short(all.refreshed)],
  ['Remembered now', short(all.cache_entries)]])

export async function authentication (root, context) {
  if (context.rest !== null) return await databaseUsers(root, context)
  const place = h('section'); const sums = h('section')
  const user = h('input', { placeholder: 'everybody', autocomplete: 'off' })
  fill(root, h('h1', null, 'Access control'),
    h('p', { class: 'about' }, 'Who MQTT clients are and what they may. Users of this dashboard and API are under ', may('administrator') ? h('a', { href: '#/access' }, 'Users & keys') : 'Users & keys', '.'),
    h('h2', null, 'Sources, in the order in which they are asked'), place, h('h2', null, 'Logins'), sums,
    may('operator') && h('form', { class: 'filters', onsubmit: act(async () => {
      const { purged } = await post('/authentication/purge', user.value ? { user_id: user.value } : {})
      toast(`${purged} forgotten: the sources are asked again.`)
      await load()
    }) }, field('Forget remembered logins of', user), h('button', null, 'Forget')))
  async function load (how = fill) {
    try {
      const [{ data }, all] = await Promise.all([get('/authentication', context.signal), get('/authentication/counters', context.signal)])
      how(place, sources(data))
      how(sums, counters(all))
    } catch (error) {
      if (error.status !== 404) throw error
      fill(place, switchedOff(error.message, 'authentication'))
    }
  }
  await load()
  context.every(5000, () => load(refill))
}
