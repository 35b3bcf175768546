// ban.js - the dialog that bans somebody, from the list of bans and from a client's page.
import { h } from './dom.js'
import { ask, expiry, select } from './form.js'
import { toast } from './dialog.js'
import { post } from './api.js'

export const KINDS = [['clientid', 'client id'], ['username', 'user name'], ['peerhost', 'address'], ['peerhost_net', 'network'], ['clientid_pattern', 'client ids like'], ['username_pattern', 'user names like']]
const HINTS = { peerhost: '192.0.2.7', peerhost_net: '10.0.0.0/8', clientid_pattern: 'bot-*: * any characters, ? one', username_pattern: 'guest-*: * any characters, ? one' }

// client: as of GET /clients, whose id, user and address are offered; none: an empty dialog. Resolves with the ban, or undefined.
export async function ban (client) {
  const known = { clientid: client?.clientid, username: client?.username, peerhost: client?.ip_address }
  const who = h('input', { required: true, value: known.clientid ?? '', autocomplete: 'off', spellcheck: 'false' })
  const as = select(KINDS, { onchange: () => {
    who.value = known[as.value] ?? (Object.values(known).includes(who.value) ? '' : who.value)
    who.placeholder = HINTS[as.value] ?? ''
  } })
  const until = expiry()
  const made = await ask(client ? 'Ban this client' : 'Ban', [
    ['as', 'By', as], ['who', 'Who', who], ['reason', 'Reason', h('input', { maxlength: 255 }), 'For those who read the list.'], ['until', 'How long', until.element]],
  'Ban', ({ as, who, reason }) => post('/banned', { as, who, reason, until: until.value() }), { kind: 'danger', about: 'Who is connected is disconnected at once, and who comes is refused.' })
  if (made) toast(`Banned: ${made.who}`)
  return made
}
