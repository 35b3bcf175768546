// accounts.js - who may use this API: users, keys, and what they did.
import { h, fill, refill, badge, button } from './dom.js'
import { time } from './format.js'
import { act, confirm, dialog } from './dialog.js'
import { ask, expiry, field, select } from './form.js'
import { table } from './table.js'
import { get, post, put, remove, session, query, segment } from './api.js'

const ROLES = [['viewer', 'viewer: sees'], ['operator', 'operator: and acts on clients and messages'], ['administrator', 'administrator: and changes configuration and users']]
const user = (name) => `/users/${segment(name)}`
const password = (required) => h('input', { type: 'password', required, minlength: 8, autocomplete: 'new-password' })

function usersTable (rows, load) {
  const change = (row) => act(async () => {
    const done = await ask(`Change ${row.username}`, [['role', 'Role', select(ROLES, { value: row.role })], ['password', 'New password', password(false), 'At least 8 characters. Empty: the old one stays.'],
      ['description', 'Description', h('input', { value: row.description, maxlength: 256 })]], 'Change', (wanted) => put(user(row.username), { description: '', ...wanted }), { about: 'Ends all logins of this user.' })
    if (!done) return false
    await load()
  }, 'Changed.')
  const drop = (row) => act(async () => {
    if (!await confirm(`Remove the user ${row.username}?`, 'Remove')) return
    await remove(user(row.username))
    await load()
  })
  return table('Users', [{ label: 'User', class: 'text', cell: (row) => [row.username, row.username === session.username && [' ', badge('you')]] }, { name: 'role', label: 'Role' }, { name: 'description', label: 'Description', class: 'text' },
    { label: '', cell: (row) => h('div', { class: 'buttons' }, button('Change', change(row), { name: `Change ${row.username}` }), button('Remove', drop(row), { name: `Remove ${row.username}` })) }], rows, { key: (row) => row.username })
}

function keysTable (rows, load) {
  const turn = (row) => act(async () => { await put(`/api_keys/${segment(row.name)}`, { enable: !row.enable }); await load() })
  const drop = (row) => act(async () => {
    if (!await confirm(`Remove the key ${row.name}? Programs that use it are refused from now on.`, 'Remove')) return
    await remove(`/api_keys/${segment(row.name)}`)
    await load()
  })
  return table('API keys', [{ name: 'name', label: 'Name', class: 'text' }, { name: 'api_key', label: 'Key', class: 'text' }, { name: 'role', label: 'Role' },
    { label: 'Works', cell: (row) => row.expired ? badge('expired', 'bad') : row.enable ? badge('yes', 'good') : badge('off') }, { label: 'Expires', cell: (row) => row.expired_at ? time(row.expired_at) : 'never' }, { label: 'Made', cell: (row) => time(row.created_at) },
    { name: 'description', label: 'Description', class: 'text' },
    { label: '', cell: (row) => h('div', { class: 'buttons' }, button(row.enable ? 'Switch off' : 'Switch on', turn(row), { name: `${row.enable ? 'Switch off' : 'Switch on'} ${row.name}` }), button('Remove', drop(row), { name: `Remove ${row.name}` })) }],
  rows, { empty: 'None yet.', key: (row) => row.name })
}

const auditTable = (rows) => table('Audit', [{ label: 'When', cell: (row) => time(row.at) }, { name: 'who', label: 'Who', class: 'text' }, { name: 'peer', label: 'From' }, { name: 'operation', label: 'What' }, { name: 'path', label: 'Path', class: 'text' },
  { label: 'Answer', cell: (row) => badge(row.status, row.status < 400 ? 'good' : 'bad') }], rows, { empty: 'Nothing that fits was done.' })

export async function accounts (root, context) {
  const users = h('section'); const keys = h('section'); const audit = h('section')
  const limit = select([['100', 'the last 100'], ['1000', 'the last 1000']], { onchange: () => load() })
  const part = h('input', { type: 'search', placeholder: 'part of a line', oninput: () => showAudit(refill) })
  let done = []
  const newUser = act(async () => {
    const made = await ask('New user', [['username', 'User', h('input', { required: true, maxlength: 64, autocomplete: 'off', spellcheck: 'false' })], ['password', 'Password', password(true), 'At least 8 characters.'], ['role', 'Role', select(ROLES)],
      ['description', 'Description', h('input', { maxlength: 256 })]], 'Create', (wanted) => post('/users', wanted))
    if (!made) return false
    await load()
  }, 'Created.')
  const newKey = act(async () => {
    const until = expiry()
    const made = await ask('New API key', [['name', 'Name', h('input', { required: true, maxlength: 64, autocomplete: 'off', spellcheck: 'false' })], ['role', 'Role', select(ROLES)], ['expired_at', 'Works', until.element], ['description', 'Description', h('input', { maxlength: 256 })]], 'Create',
      ({ expired_at: _, ...wanted }) => post('/api_keys', { ...wanted, expired_at: until.value() ?? undefined }))
    if (!made) return
    await dialog('The secret is shown once', () => h('div', null, h('p', null, 'User and password of HTTP Basic authentication:'), h('pre', { class: 'payload', tabindex: '0' }, `${made.api_key}\n${made.api_secret}`)))
    await load()
  })
  fill(root, h('h1', null, 'Users & keys'), h('h2', null, 'Users of this API'), button('New user', newUser), users,
    h('h2', null, 'API keys'), button('New API key', newKey), keys,
    h('h2', null, 'Audit'), h('form', { class: 'filters', role: 'search', onsubmit: (event) => event.preventDefault() }, field('Lines with', part), field('Of', limit)), audit)
  function showAudit (how) {
    how(audit, auditTable(done.filter((row) => Object.values(row).some((value) => String(value).includes(part.value)))))
  }
  async function load (how = fill) {
    const [people, programs, actions] = await Promise.all([get('/users', context.signal), get('/api_keys', context.signal), get(`/audit${query({ limit: limit.value })}`, context.signal)])
    how(users, usersTable(people.data, load))
    how(keys, keysTable(programs.data, load))
    done = actions.data
    showAudit(how)
  }
  await load()
  context.every(10000, () => load(refill))
}
