// app.js - the frame around the pages: login, navigation, theme, live state.
import { h, fill } from './dom.js'
import { act, toast } from './dialog.js'
import { ask, field } from './form.js'
import { loggedIn, login, logout, may, session, get, post, segment } from './api.js'
import * as live from './live.js'
import { PAGES, GROUPS } from './pages.js'

const app = document.getElementById('app')
let leave = () => {} // the page that is shown ends

// ---- theme ----------------------------------------------------------------------------------------------------------

const THEMES = ['auto', 'light', 'dark']
function theme () { return THEMES.includes(localStorage.getItem('theme')) ? localStorage.getItem('theme') : 'auto' }
function themeApply () { document.documentElement.dataset.theme = theme() }
function themeButton () {
  const button = h('button', { type: 'button', class: 'plain', id: 'theme', onclick: () => {
    localStorage.setItem('theme', THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length])
    themeApply()
    say()
  } })
  const say = () => { button.textContent = `Theme: ${theme()}` }
  say()
  return button
}
themeApply()

// ---- login ----------------------------------------------------------------------------------------------------------

function showLogin () {
  leave()
  leave = () => {}
  live.stop()
  const name = h('input', { name: 'username', autocomplete: 'username', required: true, autofocus: true })
  const password = h('input', { name: 'password', type: 'password', autocomplete: 'current-password', required: true })
  const problem = h('p', { class: 'problem', role: 'alert' })
  fill(app, h('main', { class: 'login' }, h('form', {
    onsubmit: act(async () => {
      problem.textContent = ''
      try {
        await login(name.value, password.value)
      } catch (error) {
        problem.textContent = error.message
        password.select()
        return
      }
      showFrame()
    })
  },
  h('h1', null, 'ringmq'), field('User', name), field('Password', password), problem, h('button', { class: 'primary' }, 'Log in')), themeButton()),
  h('div', { id: 'toasts', role: 'status' }))
  name.focus()
}

const changePassword = act(async () => {
  const secret = (autocomplete) => h('input', { type: 'password', required: true, autocomplete, minlength: autocomplete === 'new-password' ? 8 : null })
  const done = await ask('Change your password', [['old_password', 'The one in force', secret('current-password')], ['new_password', 'New password', secret('new-password'), 'At least 8 characters.'], ['again', 'New password again', secret('new-password')]], 'Change',
    async ({ again, ...passwords }) => {
      if (again !== passwords.new_password) throw new Error('The new passwords are not the same.')
      await post(`/users/${segment(session.username)}/change_password`, passwords)
      await login(session.username, passwords.new_password) // the change has ended all tokens of the user
    })
  return done ?? false
}, 'Changed. Whoever was logged in with the old one has to log in again.')

// ---- the frame ------------------------------------------------------------------------------------------------------

function showFrame () {
  const shown = PAGES.filter((one) => !one.role || may(one.role))
  const links = GROUPS.map((group) => [h('h2', { id: `group-${group}` }, group), h('ul', { 'aria-labelledby': `group-${group}` },
    shown.filter((one) => one.group === group).map((one) => h('li', null, h('a', { href: `#/${one.path}`, 'data-page': one.path }, one.label))))])
  const nav = h('nav', { class: 'side', id: 'pages', 'aria-label': 'Pages' }, links)
  const menu = h('button', { type: 'button', class: 'menu', 'aria-expanded': 'false', 'aria-controls': 'pages', onclick: () => menuOpen(!nav.classList.contains('open')) }, '☰ Pages') // on narrow screens
  const menuOpen = (open) => { nav.classList.toggle('open', open); menu.setAttribute('aria-expanded', String(open)) }
  nav.addEventListener('click', (event) => { if (event.target.matches('a')) menuOpen(false) })
  const state = h('span', { id: 'state', role: 'status' })
  const node = h('span', { id: 'node' })
  const stateShow = () => { state.textContent = live.connected ? 'live' : 'connecting …'; state.className = live.connected ? 'good' : 'bad' }
  live.changes.addEventListener('state', stateShow)
  stateShow()
  fill(app,
    h('a', { href: '#main', class: 'skip', onclick: (event) => { event.preventDefault(); document.getElementById('main').focus() } }, 'Skip to content'),
    h('header', { class: 'top' }, menu, h('strong', null, 'ringmq'), node, state, h('span', { class: 'space' }), themeButton(),
      h('span', null, `${session.username} (${session.role})`), h('button', { type: 'button', class: 'plain', onclick: changePassword }, 'Change password'), h('button', { type: 'button', class: 'plain', id: 'logout', onclick: logout }, 'Log out')),
    nav,
    h('main', { id: 'main', tabindex: '-1' }),
    h('div', { id: 'toasts', role: 'status' }))
  get('/nodes').then(({ data: [one] }) => { node.textContent = `${one.node} · ${one.version}` }).catch(() => {})
  live.start()
  showPage()
}

// "#/clients/a%2Fb?x=1": page, what follows it, and the query.
function location () {
  const [path, query = ''] = window.location.hash.replace(/^#\/?/, '').split('?')
  const [page, ...rest] = path.split('/')
  let name = null
  try { name = rest.length ? decodeURIComponent(rest.join('/')) : null } catch { /* not percent-encoded: no such page */ }
  return { page: PAGES.find((one) => one.path === page && (!one.role || may(one.role))) ?? PAGES[0], rest: name, query: Object.fromEntries(new URLSearchParams(query)) }
}

async function showPage () {
  if (!loggedIn()) return showLogin()
  const root = document.getElementById('main')
  if (!root) return
  leave()
  const aborter = new AbortController()
  const ends = []
  leave = () => { aborter.abort(); ends.forEach((end) => end()) }
  const { page, rest, query } = location()
  document.title = `${page.label} – ringmq`
  for (const link of document.querySelectorAll('nav.side a')) {
    if (link.dataset.page === page.path) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current')
  }
  const place = h('div', { class: 'page' })
  fill(root, place)
  // onEnd: called when the page is left. every: again and again until then, never two at a time.
  const context = {
    rest,
    query,
    // What the page shows goes into the address, without another way back for each step.
    remember (values) {
      const pairs = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== ''))
      const name = rest === null ? page.path : `${page.path}/${encodeURIComponent(rest)}`
      if (!aborter.signal.aborted) window.history.replaceState(null, '', `#/${name}${pairs.size ? `?${pairs}` : ''}`)
    },
    signal: aborter.signal,
    onEnd: (end) => ends.push(end),
    every (ms, work) {
      const again = async () => {
        if (aborter.signal.aborted) return
        if (!document.hidden) await work().catch((error) => { if (error.name !== 'AbortError' && error.status !== 401) toast(error.message, 'bad') })
        timer = setTimeout(again, ms)
      }
      let timer = setTimeout(again, ms)
      ends.push(() => clearTimeout(timer))
    }
  }
  try {
    await page.show(place, context)
  } catch (error) {
    if (error.name === 'AbortError' || error.status === 401) return
    fill(place, h('h1', null, page.label), h('p', { class: 'problem', role: 'alert' }, error.message))
  }
}

addEventListener('hashchange', showPage)
addEventListener('ringmq-logout', showLogin)
addEventListener('keydown', (event) => { // "/": to the search field
  if (event.key !== '/' || event.target.matches('input, textarea, select')) return
  const search = document.querySelector('main input[type=search]')
  if (search) { event.preventDefault(); search.focus() }
})
if (loggedIn()) showFrame(); else showLogin()
