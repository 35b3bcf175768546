// What is around the pages: keyboard, logins, roles.
import { check, sleep } from './person.mjs'

export const frame = (me, { url, HOSTILE }) => ({
  async by_keyboard_alone () {
    const { page } = me
    const active = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim())
    // Tab until this control has the focus.
    const tabTo = async (name) => {
      for (let i = 0; i < 120; i++) {
        await page.keyboard.press('Tab')
        if (await active() === name) return
      }
      check(false, `Tab never comes to "${name}"`)
    }
    await me.go('overview')
    await page.reload()
    await me.go('clients', 'worker-1')
    await page.keyboard.press('Tab')
    check(await page.evaluate(() => document.activeElement.className) === 'skip', 'the first stop skips the navigation')
    await page.keyboard.press('Enter')
    check(await page.evaluate(() => document.activeElement.id) === 'main', 'it leads to the content')
    await page.keyboard.press('/')
    check(await page.evaluate(() => document.activeElement.matches('input[type=search]')), '/ leads to the search field')
    await page.keyboard.type('worker-')
    await page.keyboard.press('Enter')
    await me.untilGone('many-subscriptions')
    await tabTo('Client id')
    await page.keyboard.press('Enter') // sort
    await page.waitForSelector('th[aria-sort=ascending]')
    check(await active() === 'Client id', 'the focus stays on what was sorted by')
    await page.waitForResponse((answer) => answer.url().includes('/api/v1/clients?')) // a refresh meanwhile
    await page.waitForFunction(() => document.activeElement.textContent === 'Client id').catch(() => check(false, 'a refresh takes the focus away'))
    await tabTo('worker-1')
    await page.keyboard.press('Enter')
    await me.until('Ban this client')
    await page.keyboard.press('Tab')
    await tabTo('Kick')
    await page.keyboard.press('Enter')
    await me.dialog('Disconnect worker-1?')
    await page.keyboard.press('Escape')
    await me.closed()
    check(await active() === 'Kick', `after the dialog the focus is on ${await active()}`)
    for (const one of await page.$$eval('nav.side a', (links) => links.map((link) => link.getAttribute('href')))) {
      await me.go(one.slice(2))
      await page.waitForFunction(() => document.querySelector('#main h1'))
      const unnamed = await page.$$eval('button, input, select, textarea, a, dialog, nav, [role=region]', (all) => all.filter((one) => !(one.textContent.trim() || one.getAttribute('aria-label') || one.closest('label')?.textContent.trim())).map((one) => one.outerHTML))
      check(unnamed.length === 0, `${one}: without a name: ${unnamed.join(' ')}`)
      const headless = await page.$$eval('#main table', (all) => all.filter((one) => !one.caption || [...one.querySelectorAll('th')].some((th) => th.scope !== 'col')).length)
      check(headless === 0, `${one}: ${headless} tables without a name or heads`)
      check(await page.$$eval('#main h1', (all) => all.length) === 1, `${one}: not one title`)
    }
  },
  async very_long_names_break_nothing () {
    const long = await me.page.evaluate(async () => (await (await fetch('/api/v1/clients?like_clientid=long', { headers: { Authorization: `Bearer ${sessionStorage.getItem('token')}` } })).json()).data[0].clientid)
    check(long.length > 1000, `the long client id has ${long.length} characters`)
    for (const path of ['clients?like_clientid=long', `clients/${encodeURIComponent(long)}`, 'subscriptions?like_clientid=long', 'retained']) {
      await me.go(path, long.slice(0, 50))
      check(await me.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${path} scrolls sideways`)
    }
    await me.go(`clients/${encodeURIComponent(long)}`, 'Subscriptions')
    await me.shot('long')
  },
  async a_reload_keeps_the_login_and_logging_out_ends_it () {
    await me.go('clients', 'worker-1')
    await me.page.reload()
    await me.until('worker-1')
    const token = await me.page.evaluate(() => sessionStorage.getItem('token'))
    await me.page.click('#logout')
    await me.page.waitForSelector('input[name=password]')
    const status = await me.page.evaluate(async (token) => (await fetch('/api/v1/clients', { headers: { Authorization: `Bearer ${token}` } })).status, token)
    check(status === 401, `the token still works: ${status}`)
  },
  async a_viewer_sees_and_cannot_act () {
    await me.login('watcher', 'watch password')
    await me.go('overview', 'Messages per second')
    const pages = await me.page.$$eval('nav.side a', (links) => links.map((link) => [link.dataset.page, link.textContent]))
    check(!pages.some(([, label]) => label === 'Users & keys'), 'the administrators\' page')
    const acts = new Set()
    const harmless = /^(Search|Show all|← Previous|Next →|First page|Last page|What differs from the defaults|Connect|Subscribe|Publish|Pause|Clear|Explain|Client id|Since|Subs|Queue|Queued bytes|In flight|In|Out|Key|From|Name|Value|Change per second)$/
    for (const [path] of [...pages, ['clients/worker-1'], [`clients/${encodeURIComponent(HOSTILE)}`]]) {
      await me.go(path)
      await me.page.waitForFunction(() => document.querySelector('#main h1'))
      await sleep(150)
      check(!await me.page.$('#main [role=alert].problem'), `${path}: ${await me.text()}`)
      for (const name of await me.page.$$eval('#main button:not(.link)', (all) => all.map((one) => one.getAttribute('aria-label') ?? one.textContent))) acts.add(name)
    }
    const offered = [...acts].filter((name) => !harmless.test(name) && !/^kept\//.test(name) && !name.startsWith('long'))
    check(offered.length === 0, `a viewer is offered: ${offered.join(', ')}`)
    const status = await me.page.evaluate(async () => (await fetch('/api/v1/clients/worker-1', { method: 'DELETE', headers: { Authorization: `Bearer ${sessionStorage.getItem('token')}` } })).status)
    check(status === 403, `a viewer can kick: ${status}`)
  },
  async ones_own_password_is_changed () {
    await me.press('Change password')
    await me.type('The one in force', 'watch password')
    await me.type('New password', 'watch better')
    await me.type('New password again', 'watch bettor')
    await me.press('Change')
    await me.dialog('not the same')
    await me.type('New password again', 'watch better')
    await me.press('Change')
    await me.closed()
    await me.go('overview', 'Messages per second')
    await me.page.click('#logout')
    await me.login('watcher', 'watch better')
    await me.go('clients', 'worker-1')
    await me.page.click('#logout')
    await me.page.waitForSelector('input[name=password]')
  },
  async nothing_went_wrong_behind_the_scenes () {
    check(me.problems.length === 0, me.problems.slice(0, 5).join('\n'))
    const own = new URL(url).hostname
    check([...me.hosts].every((host) => host.split(':')[0] === own), `other hosts were asked: ${[...me.hosts]}`)
  }
})
