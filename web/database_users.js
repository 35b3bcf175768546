// database_users.js - the users of one built-in database.
import { h, fill, refill, badge, button } from './dom.js'
import { act, confirm, toast } from './dialog.js'
import { ask, field, select } from './form.js'
import { table } from './table.js'
import { get, post, put, remove, query, save, segment } from './api.js'

const LIMIT = 100
const password = (required) => h('input', { type: 'password', required, autocomplete: 'new-password' })
const superuser = (value) => select([['false', 'no'], ['true', 'yes: rules are not asked']], { value: String(value) })

export async function databaseUsers (root, context) {
  const name = context.rest; const path = `/authentication/${segment(name)}/users`
  const before = [] // where the pages so far began
  const view = { after: '' }
  const from = h('input', { type: 'search', placeholder: 'beginning of a name', spellcheck: 'false', autocomplete: 'off' })
  const place = h('section')
  const add = act(async () => {
    const made = await ask('New user', [['user_id', 'User', h('input', { required: true, maxlength: 511, autocomplete: 'off', spellcheck: 'false' })], ['password', 'Password', password(true)], ['is_superuser', 'Superuser', superuser(false)]], 'Add',
      (wanted) => post(`/authentication/${segment(name)}/users`, { ...wanted, is_superuser: wanted.is_superuser === 'true' }))
    if (made) await load()
  }, 'Added.')
  const bring = act(async () => {
    const file = h('input', { type: 'file', accept: '.csv,.json', required: true })
    const done = await ask('Import users', [['file', 'File', file, 'CSV with a header, or JSON: user_id, password or password_hash and salt, is_superuser.'], ['override', 'Who is there already', select([['false', 'stays as it is'], ['true', 'is replaced']])]], 'Import',
      async ({ override }) => post(`/authentication/${segment(name)}/import_users`, { users: await file.files[0].text(), override: override === 'true' }), { about: 'All of them are taken, or none.' })
    if (!done) return
    toast(`${done.added} added, ${done.changed} replaced, ${done.skipped} stayed as they were.`)
    await load()
  })
  const take = act(async () => {
    const { users } = await get(`/authentication/${segment(name)}/export_users`)
    save(new Blob([users], { type: 'application/json' }), `users-${name.replace(/[^A-Za-z0-9_-]/g, '_')}.json`)
  })
  const change = (row) => act(async () => {
    const done = await ask(`Change ${row.user_id}`, [['password', 'New password', password(false), 'Empty: the old one stays.'], ['is_superuser', 'Superuser', superuser(row.is_superuser)]], 'Change',
      (wanted) => put(`/authentication/${segment(name)}/users/${segment(row.user_id)}`, { ...wanted, is_superuser: wanted.is_superuser === 'true' }), { about: 'Holds from the next login on; who is connected stays.' })
    if (!done) return false
    await load()
  }, 'Changed.')
  const drop = (row) => act(async () => {
    if (!await confirm(`Remove the user ${row.user_id}? Who is connected stays.`, 'Remove')) return false
    await remove(`/authentication/${segment(name)}/users/${segment(row.user_id)}`)
    await load()
  }, 'Removed.')
  fill(root, h('p', null, h('a', { href: '#/authentication' }, '← Access control')), h('h1', { class: 'text' }, `Users of ${name}`),
    h('form', { class: 'filters', role: 'search', onsubmit: act(async () => { before.length = 0; view.after = from.value; await load() }) }, field('Names after', from), h('button', null, 'Go there'), button('Add a user', add, { kind: 'primary' }), button('Import users', bring), button('Export users', take)), place)
  async function load (how = fill) {
    const { data } = await get(`${path}${query({ after: view.after, limit: LIMIT })}`, context.signal)
    const turn = (step) => act(async () => { step(); await load() })
    how(place, table('Users', [{ name: 'user_id', label: 'User', class: 'text' }, { label: 'Superuser', cell: (row) => row.is_superuser ? badge('yes', 'warn') : 'no' },
      { label: '', cell: (row) => h('div', { class: 'buttons' }, button('Change', change(row), { name: `Change ${row.user_id}` }), button('Remove', drop(row), { name: `Remove ${row.user_id}` })) }],
    data, { empty: view.after ? 'No user comes after this name.' : 'It has no users yet.', key: (row) => row.user_id }),
    h('nav', { class: 'pager', 'aria-label': 'Pages' }, button('← Previous', turn(() => { view.after = before.pop() }), { disabled: before.length === 0 }),
      button('Next →', turn(() => { before.push(view.after); view.after = data.at(-1).user_id }), { disabled: data.length < LIMIT })))
  }
  await load()
  context.every(15000, () => load(refill))
}
