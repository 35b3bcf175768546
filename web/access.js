// access.js - who may use this API: users, keys, and what they did.
import { h, fill, time, table, field, select, badge, act, confirm, dialog } from './dom.js'
import { get, post, put, remove } from './api.js'

const ROLES = [['viewer', 'viewer: sees'], ['operator', 'operator: and acts on clients and messages'], ['administrator', 'administrator: and changes configuration and users']]

// A dialog with these controls; resolves with their values by name, or nothing.
function ask (title, controls, action) {
  return dialog(title, (close) => h('form', { method: 'dialog', onsubmit: (event) => { event.preventDefault(); close(Object.fromEntries(controls.map(([name, , control]) => [name, control.value]).filter(([, value]) => value !== ''))) } },
    controls.map(([, label, control, hint]) => field(label, control, hint)), h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: () => close() }, 'Cancel'), h('button', { class: 'primary' }, action))))
}

export async function access (root, context) {
  const users = h('section'); const keys = h('section'); const audit = h('section')
  const newUser = act(async () => {
    const wanted = await ask('New user', [['username', 'User', h('input', { required: true, autocomplete: 'off' })], ['password', 'Password', h('input', { type: 'password', required: true, minlength: 8, autocomplete: 'new-password' }), 'At least 8 characters.'],
      ['role', 'Role', select(ROLES)], ['description', 'Description', h('input')]], 'Create')
    if (wanted) { await post('/users', wanted); await load() }
  })
  const newKey = act(async () => {
    const wanted = await ask('New API key', [['name', 'Name', h('input', { required: true })], ['role', 'Role', select(ROLES)], ['expired_at', 'Expires', h('input', { placeholder: '2027-01-31T00:00:00Z' }), 'Empty: never.'], ['description', 'Description', h('input')]], 'Create')
    if (!wanted) return
    const made = await post('/api_keys', wanted)
    await dialog('The secret is shown once', () => h('div', null, h('p', null, 'User and password of HTTP Basic authentication:'), h('pre', { class: 'payload', tabindex: '0' }, `${made.api_key}\n${made.api_secret}`)))
    await load()
  })
  fill(root, h('h1', null, 'Users & keys'), h('h2', null, 'Users of this API'), h('button', { type: 'button', onclick: newUser }, 'New user'), users,
    h('h2', null, 'API keys'), h('button', { type: 'button', onclick: newKey }, 'New API key'), keys, h('h2', null, 'Audit'), audit)
  async function load () {
    const [people, programs, done] = await Promise.all([get('/users', context.signal), get('/api_keys', context.signal), get('/audit?limit=100', context.signal)])
    fill(users, table('Users', [{ name: 'username', label: 'User', class: 'text' }, { name: 'role', label: 'Role' }, { name: 'description', label: 'Description', class: 'text' }, { label: '', cell: (row) => h('div', { class: 'buttons' },
      h('button', { type: 'button', onclick: act(async () => {
        const wanted = await ask(`Change ${row.username}`, [['role', 'Role', select(ROLES, { value: row.role })], ['password', 'New password', h('input', { type: 'password', minlength: 8, autocomplete: 'new-password' }), 'Empty: the old one stays.']], 'Change')
        if (wanted) { await put(`/users/${encodeURIComponent(row.username)}`, wanted); await load() }
      }) }, 'Change'),
      h('button', { type: 'button', onclick: act(async () => {
        if (await confirm(`Remove the user ${row.username}?`, 'Remove')) { await remove(`/users/${encodeURIComponent(row.username)}`); await load() }
      }) }, 'Remove')) }], people.data))
    fill(keys, table('API keys', [{ name: 'name', label: 'Name', class: 'text' }, { name: 'api_key', label: 'Key', class: 'text' }, { name: 'role', label: 'Role' },
      { label: 'Works', cell: (row) => row.expired ? badge('expired', 'bad') : row.enable ? badge('yes', 'good') : badge('off') }, { label: 'Expires', cell: (row) => row.expired_at ? time(row.expired_at) : 'never' }, { name: 'description', label: 'Description', class: 'text' },
      { label: '', cell: (row) => h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: act(async () => { await put(`/api_keys/${encodeURIComponent(row.name)}`, { enable: !row.enable }); await load() }) }, row.enable ? 'Switch off' : 'Switch on'),
        h('button', { type: 'button', onclick: act(async () => { if (await confirm(`Remove the key ${row.name}?`, 'Remove')) { await remove(`/api_keys/${encodeURIComponent(row.name)}`); await load() } }) }, 'Remove')) }], programs.data, { empty: 'None yet.' }))
    fill(audit, table('Audit', [{ label: 'When', cell: (row) => time(row.at) }, { name: 'who', label: 'Who', class: 'text' }, { name: 'peer', label: 'From' }, { name: 'operation', label: 'What' }, { name: 'path', label: 'Path', class: 'text' },
      { label: 'Answer', cell: (row) => badge(row.status, row.status < 400 ? 'good' : 'bad') }], done.data))
  }
  await load()
}
