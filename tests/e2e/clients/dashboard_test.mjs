// node dashboard_test.mjs URL SHOTS: a person at the dashboard, in a headless Chromium. Prints "ok NAME" or "FAILED NAME: WHY". Screenshots go to the folder SHOTS.
// The broker is prepared by run-dashboard: users admin and watcher, clients with hostile names, retained messages, a WebSocket listener.
import { createRequire } from 'node:module'
import { mkdirSync } from 'node:fs'

const puppeteer = createRequire(process.env.BROWSER_MODULES + '/')('puppeteer-core')
const [url, shots] = process.argv.slice(2)
const HOSTILE = process.env.HOSTILE // a client id and a topic that would be markup
mkdirSync(shots, { recursive: true })

const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: ['--no-sandbox', '--disable-gpu'] })
const page = await browser.newPage()
await page.setViewport({ width: 1280, height: 900 })
page.setDefaultTimeout(15000)
const problems = []; const hosts = new Set()
page.on('pageerror', (error) => problems.push(`error in the page: ${error.message}`))
page.on('console', (message) => { if (message.type() === 'error' && !/status of (401|404|403|400|429)/.test(message.text())) problems.push(`console: ${message.text()}`) })
page.on('request', (request) => hosts.add(new URL(request.url()).host))
page.on('dialog', async (dialog) => { problems.push(`a script ran: ${dialog.message()}`); await dialog.dismiss() })

class Wrong extends Error {}
const check = (condition, what) => { if (!condition) throw new Wrong(what) }
const text = () => page.$eval('#main', (main) => main.innerText)
const until = (wanted) => page.waitForFunction((wanted) => document.querySelector('#main')?.innerText.includes(wanted), {}, wanted).catch(() => { throw new Wrong(`never saw "${wanted}"`) })
const until_gone = (wanted) => page.waitForFunction((wanted) => !document.querySelector('#main')?.innerText.includes(wanted), {}, wanted).catch(() => { throw new Wrong(`"${wanted}" stays`) })
const go = async (path, wanted) => {
  await page.evaluate((path) => { location.hash = path }, `#/${path}`)
  if (wanted) await until(wanted)
}
// The button with this text (or name), in the page or in the dialog that is open.
const button = async (name, index = 0) => {
  await page.waitForFunction((name) => [...document.querySelectorAll('button')].some((one) => (one.getAttribute('aria-label') ?? one.textContent) === name && !one.disabled), {}, name).catch(() => { throw new Wrong(`no button "${name}"`) })
  await page.evaluate((name, index) => [...document.querySelectorAll('dialog[open] button, button')].filter((one) => (one.getAttribute('aria-label') ?? one.textContent) === name && !one.disabled)[index].click(), name, index)
}
const type = async (label, value) => { // into the field with this label
  await page.waitForFunction((label) => [...document.querySelectorAll('label.field')].some((one) => one.querySelector('span').textContent.startsWith(label)), {}, label).catch(() => { throw new Wrong(`no field "${label}"`) })
  const handle = await page.evaluateHandle((label) => [...document.querySelectorAll('dialog[open] label.field, label.field')].find((one) => one.querySelector('span').textContent.startsWith(label)).querySelector('input, textarea, select'), label)
  const tag = await handle.evaluate((one) => one.tagName)
  if (tag === 'SELECT') return await handle.select(value)
  await handle.click({ clickCount: 3 })
  await handle.press('Backspace')
  await handle.type(value)
}
const shot = (name) => page.screenshot({ path: `${shots}/${name}.png` })
const login = async (name, password) => {
  await page.waitForSelector('input[name=username]')
  await type('User', name)
  await type('Password', password)
  await page.keyboard.press('Enter')
}

const tests = {
  async a_wrong_password_is_told () {
    await page.goto(`${url}/`)
    await login('admin', 'wrong password')
    await page.waitForFunction(() => document.querySelector('.problem')?.textContent)
    check(!await page.$('nav.side'), 'the pages are shown')
    await shot('login')
  },
  async login_shows_the_overview_live () {
    await login('admin', 'right password')
    await until('Messages per second')
    await page.waitForFunction(() => document.querySelector('#state').textContent === 'live')
    await page.waitForFunction(() => /in [1-9]/.test(document.querySelector('.legend').textContent)) // run-dashboard publishes all the time
    check((await text()).includes('Uptime'), 'facts of the node')
    // the canvas was drawn on: more than one colour
    const colours = await page.$eval('canvas', (canvas) => new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size)
    check(colours > 3, `the chart has ${colours} colours`)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    await shot('overview')
  },
  async clients_are_found_and_hostile_names_are_text () {
    await go('clients', HOSTILE)
    check(await page.$$eval('#main img, #main script, #main iframe', (found) => found.length) === 0, 'a client id became markup')
    await shot('clients')
    await type('Client id', 'worker-1')
    await page.keyboard.press('Enter')
    await until_gone(HOSTILE)
    check(/worker-1\b/.test(await text()), 'the client that was searched')
    await type('Client id', ' ')
    await go('overview'); await go('clients', HOSTILE)
    await page.evaluate(() => [...document.querySelectorAll('th button')].find((one) => one.textContent.startsWith('Subs')).click())
    await page.waitForSelector('th[aria-sort=descending]')
    const first = await page.$eval('tbody tr td:nth-child(2)', (cell) => cell.textContent)
    check(first === 'many-subscriptions', `sorted by subscriptions, ${first} is first`)
  },
  async one_client_in_detail () {
    await page.evaluate((id) => { location.hash = `#/clients/${encodeURIComponent(id)}` }, HOSTILE)
    await until(`${HOSTILE}/topic`)
    check(await page.$eval('h1', (title) => title.textContent) === HOSTILE, 'its name')
    await type('Subscribe it to', 'added/by/hand')
    await button('Subscribe')
    await until('added/by/hand')
    await shot('client')
    await button('Unsubscribe added/by/hand')
    await until_gone('added/by/hand')
  },
  async a_client_is_kicked () {
    await go('clients/worker-2', 'Kick')
    await button('Kick')
    await page.waitForSelector('dialog[open]')
    await page.keyboard.press('Escape') // not this time
    await page.waitForSelector('dialog', { hidden: true })
    check((await text()).includes('connected'), 'Escape has kicked it')
    await page.focus('#kick')
    await page.keyboard.press('Enter')
    await page.waitForSelector('dialog[open]')
    await page.keyboard.press('Enter') // the dialog's button has the focus
    await until('There is no such session')
  },
  async several_clients_are_kicked () {
    await go('clients', 'worker-3')
    await type('Client id', 'worker-')
    await page.keyboard.press('Enter')
    await until_gone('many-subscriptions')
    await page.evaluate(() => { for (const id of ['worker-3', 'worker-4']) document.querySelector(`input[aria-label="Choose ${id}"]`).click() })
    await button('Kick the chosen')
    await button('Kick')
    await until_gone('worker-3')
    check((await text()).includes('worker-1'), 'the others stay')
  },
  async subscriptions_and_topics () {
    await go('subscriptions', HOSTILE)
    await type('Who gets topic', 'work/1/state')
    await page.keyboard.press('Enter')
    await until_gone(HOSTILE)
    check((await text()).includes('work/1/#'), 'filters that match the topic')
    await go('topics', 'work/1/#')
    await shot('topics')
  },
  async retained_messages () {
    await go('retained', 'kept/json')
    check(await page.$$eval('#main img, #main script', (found) => found.length) === 0, 'a topic became markup')
    await button('kept/json')
    await page.waitForSelector('dialog[open] pre')
    check((await page.$eval('dialog pre', (pre) => pre.textContent)).includes('"value": 7'), 'the payload as JSON')
    await shot('retained')
    await page.keyboard.press('Escape')
    await button('kept/binary')
    await page.waitForFunction(() => document.querySelector('dialog[open] pre')?.textContent.includes('00 ff fe 3c'))
    await page.keyboard.press('Escape')
    await button('Remove kept/json')
    await button('Remove it')
    await until_gone('kept/json')
  },
  async messages_over_websocket () {
    await go('console', 'Connect')
    await button('Connect')
    await until('connected')
    await type('Filter', 'console/#')
    await type('QoS', '2')
    await button('Subscribe')
    await page.waitForFunction(() => document.querySelector('.chips')?.textContent.includes('console/#'))
    for (const qos of ['0', '1', '2']) {
      await type('Topic', `console/${qos}`)
      await type('Payload', `<b>payload ${qos}</b>`)
      await page.evaluate((qos) => { const all = [...document.querySelectorAll('label.field')].filter((one) => one.querySelector('span').textContent === 'QoS'); all[1].querySelector('select').value = qos }, qos)
      await button('Publish')
      await until(`<b>payload ${qos}</b>`)
    }
    check(await page.$$eval('.messages b:not(.text)', (found) => found.length) === 0, 'a payload became markup')
    await go('overview'); await go('console', 'payload 2') // it goes on meanwhile
    await shot('console')
    await button('Disconnect')
    await until('Connect')
  },
  async listeners_are_stopped_and_started () {
    await go('listeners', 'ws.default')
    await button('stop tcp.spare')
    await button('stop')
    await page.waitForFunction(() => document.querySelector('tr[data-key="tcp.spare"]').textContent.includes('stopped'))
    await button('start tcp.spare')
    await page.waitForFunction(() => document.querySelector('tr[data-key="tcp.spare"]').textContent.includes('running'))
    await shot('listeners')
  },
  async configuration_is_tried_then_changed_and_rolled_back () {
    await go('configuration', 'mqtt.max_inflight')
    await type('Key', 'mqtt.max_inflight')
    await page.keyboard.press('Enter')
    await until_gone('log.level')
    await button('Change mqtt.max_inflight')
    await type('Value', '0x')
    await button('Try it')
    await page.waitForSelector('.toast.bad') // not a number
    await page.evaluate(() => document.querySelector('.toast.bad').click())
    await button('Change mqtt.max_inflight')
    await type('Value', '77')
    await button('Try it')
    await page.waitForFunction(() => document.querySelector('dialog[open]')?.textContent.includes('77'))
    await shot('configuration')
    await button('Apply')
    await page.waitForFunction(() => document.querySelector('tr[data-key="mqtt.max_inflight"]')?.textContent.includes('77'))
    check((await page.$eval('tr[data-key="mqtt.max_inflight"]', (row) => row.textContent)).includes('runtime'), 'where it comes from')
  },
  async metrics_alarms_users_and_more () {
    await go('metrics', 'publish_received')
    await until('Distributions')
    await shot('metrics')
    await go('alarms', 'History')
    await go('access', 'watcher')
    await button('New API key')
    await type('Name', 'made-here')
    await button('Create')
    await page.waitForFunction(() => document.querySelector('dialog[open]')?.textContent.includes('secret is shown once'))
    await page.keyboard.press('Escape')
    await until('made-here')
    await shot('access')
    await go('more', 'api/docs')
    const tiles = await page.$$eval('.tiles a', (links) => links.map((link) => link.getAttribute('href')))
    for (const href of tiles) { // every group of routes without a page of its own opens
      await page.evaluate((href) => { location.hash = href }, href)
      await page.waitForFunction(() => document.querySelector('#main section')?.childElementCount > 0)
      check(!await page.$('#main .problem'), `${href}: ${await text()}`)
    }
  },
  async bans_and_users_by_forms_of_the_document () {
    await go('more/banned', 'Who may not connect')
    await button('add ban')
    await type('as', 'clientid')
    await type('who', 'never-seen')
    await type('reason', '<b>why</b>')
    await button('Send')
    await page.waitForFunction(() => document.querySelector('dialog[open]')?.textContent.includes('never-seen'))
    await page.keyboard.press('Escape')
    await until('<b>why</b>')
    await shot('bans')
    await button('remove ban')
    await button('Do it')
    await until_gone('never-seen')
    await go('more/authentication', 'built_in_database')
    await button('list authentication users')
    await until('in the order of their names')
    await button('add authentication user')
    await type('user_id', 'ann')
    await type('password', 'ann secret')
    check(await page.$eval('dialog[open] input[type=password]', (one) => one.value) === 'ann secret', 'the password can be read')
    await button('Send')
    await page.waitForFunction(() => document.querySelector('dialog[open]')?.textContent.includes('is_superuser') && document.querySelector('dialog[open] pre'))
    await page.keyboard.press('Escape')
    await until('ann')
    await shot('mqtt-users')
    await go('more/slow_subscriptions', 'slow_subs.enable')
  },
  async dark_and_light () {
    await go('overview', 'Messages per second')
    for (const name of ['light', 'dark']) {
      await page.evaluate((name) => { while (!document.querySelector('#theme').textContent.endsWith(name)) document.querySelector('#theme').click() }, name)
      const [back, front] = await page.evaluate(() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color].map((colour) => colour.match(/\d+/g).reduce((sum, part) => sum + Number(part), 0)))
      check(name === 'dark' ? back < 150 && front > 500 : back > 600 && front < 200, `${name}: background ${back}, text ${front}`)
      await new Promise((resolve) => setTimeout(resolve, 500))
      await shot(`overview-${name}`)
    }
    await page.setViewport({ width: 400, height: 800 })
    check(await page.evaluate(() => document.documentElement.scrollWidth <= 400), 'a narrow window scrolls sideways')
    await shot('narrow')
    await page.setViewport({ width: 1280, height: 900 })
  },
  async by_keyboard_alone () {
    await go('clients', 'worker-1')
    await page.evaluate(() => document.activeElement.blur())
    await page.keyboard.press('Tab')
    check(await page.evaluate(() => document.activeElement.className) === 'skip', 'the first stop skips the navigation')
    await page.keyboard.press('Enter')
    check(await page.evaluate(() => document.activeElement.id) === 'main', 'it leads to the content')
    await page.keyboard.press('/')
    check(await page.evaluate(() => document.activeElement.matches('input[type=search]')), '/ leads to the search field')
    const unnamed = await page.$$eval('button, input, select, textarea, a', (all) => all.filter((one) => !(one.textContent.trim() || one.getAttribute('aria-label') || one.closest('label')?.textContent.trim())).map((one) => one.outerHTML))
    check(unnamed.length === 0, `without a name: ${unnamed.join(' ')}`)
  },
  async a_reload_keeps_the_login_and_logging_out_ends_it () {
    await page.reload()
    await until('Clients')
    const token = await page.evaluate(() => sessionStorage.getItem('token'))
    await page.click('#logout')
    await page.waitForSelector('input[name=password]')
    const status = await page.evaluate(async (token) => (await fetch('/api/v1/clients', { headers: { Authorization: `Bearer ${token}` } })).status, token)
    check(status === 401, `the token still works: ${status}`)
  },
  async a_viewer_sees_and_cannot_act () {
    await login('watcher', 'watch password')
    await go('overview', 'Messages per second')
    check(!(await page.$$eval('nav.side a', (links) => links.map((link) => link.textContent))).includes('Users & keys'), 'the administrators\' page')
    await go('clients/worker-1', 'Subscriptions')
    await until('worker')
    check(!await page.$('#kick'), 'a viewer is offered to kick')
    const status = await page.evaluate(async () => (await fetch('/api/v1/clients/worker-1', { method: 'DELETE', headers: { Authorization: `Bearer ${sessionStorage.getItem('token')}` } })).status)
    check(status === 403, `a viewer can kick: ${status}`)
    await page.click('#logout')
  },
  async nothing_went_wrong_behind_the_scenes () {
    check(problems.length === 0, problems.slice(0, 5).join('\n'))
    const own = new URL(url).hostname
    check([...hosts].every((host) => host.split(':')[0] === own), `other hosts were asked: ${[...hosts]}`)
  }
}

let failed = 0
try {
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test()
      console.log(`ok ${name}`)
    } catch (error) {
      failed++
      await shot(`FAILED-${name}`)
      console.log(`FAILED ${name}: ${error instanceof Wrong ? error.message : error.stack} ${problems.splice(0).join('; ')}`)
      await page.evaluate(() => document.querySelectorAll('dialog').forEach((one) => one.close()))
    }
  }
} finally {
  await browser.close()
}
process.exit(failed ? 1 : 0)
