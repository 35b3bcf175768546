// The pages that show: each of them, with hostile names in it.
import { check, sleep } from './person.mjs'

export const seeing = (me, { url, HOSTILE }) => ({
  async a_wrong_password_is_told () {
    await me.page.goto(`${url}/`)
    await me.login('admin', 'wrong password')
    await me.page.waitForFunction(() => document.querySelector('.problem')?.textContent)
    check(!await me.page.$('nav.side'), 'the pages are shown')
    await me.shot('login')
  },
  async login_shows_the_overview_live () {
    await me.login('admin', 'right password')
    await me.until('Messages per second')
    await me.page.waitForFunction(() => document.querySelector('#state').textContent === 'live')
    await me.page.waitForFunction(() => /in [1-9]/.test(document.querySelector('.legend').textContent)) // run-dashboard publishes all the time
    check((await me.text()).includes('Uptime'), 'facts of the node')
    // the canvas was drawn on: more than one colour
    const colours = await me.page.$eval('canvas', (canvas) => new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size)
    check(colours > 3, `the chart has ${colours} colours`)
  },
  async clients_are_found_and_hostile_names_are_text () {
    await me.visit('Clients', HOSTILE)
    check(await me.page.$$eval('#main img, #main script, #main iframe', (found) => found.length) === 0, 'a client id became markup')
    await me.type('Client id', 'worker-1')
    await me.page.keyboard.press('Enter')
    await me.untilGone(HOSTILE)
    check(/worker-1\b/.test(await me.text()), 'the client that was searched')
    check(me.page.url().includes('like_clientid=worker-1'), 'the search stands in the address')
    await me.page.reload()
    await me.until('worker-1')
    check(!(await me.text()).includes(HOSTILE), 'a reload keeps the search')
    await me.press('Show all')
    await me.until(HOSTILE)
    await me.press('Subs')
    await me.page.waitForSelector('th[aria-sort=descending]')
    check((await me.rows('Clients'))[0][1] === 'many-subscriptions', `sorted by subscriptions, ${(await me.rows('Clients'))[0][1]} is first`)
    await me.press('Subs')
    await me.page.waitForSelector('th[aria-sort=ascending]')
    check((await me.rows('Clients'))[0][1] !== 'many-subscriptions', 'the other way round')
  },
  async clients_come_in_pages_and_rates_are_shown () {
    await me.go('clients?limit=4&sort=recv_msg&order=desc', 'talker')
    await me.until('Page 1 of')
    check((await me.rows('Clients')).length === 4, 'four rows')
    await me.page.waitForFunction(() => { // the second look, five seconds after the first
      const row = [...document.querySelectorAll('tr[data-key=talker] td')].map((cell) => cell.innerText)
      return row[5] && row[5] !== '–' && parseFloat(row[5]) > 10
    }).catch(() => check(false, 'no rate of the talker'))
    await me.press('Next →')
    await me.until('Page 2 of')
    check(!(await me.rows('Clients')).some((row) => row[1] === 'talker'), 'the second page shows the first')
    check(me.page.url().includes('page=2'), 'the page stands in the address')
    await me.press('First page')
    await me.until('Page 1 of')
  },
  async one_client_in_detail () {
    await me.go('clients', HOSTILE)
    await me.follow(HOSTILE)
    await me.until(`${HOSTILE}/topic`)
    check(await me.page.$eval('h1', (title) => title.textContent) === HOSTILE, 'its name')
    await me.type('Subscribe it to', 'added/by/hand')
    await me.press('Subscribe')
    await me.until('added/by/hand')
    await me.press('Unsubscribe added/by/hand')
    await me.untilGone('added/by/hand')
  },
  async subscriptions_and_topics () {
    await me.visit('Subscriptions', HOSTILE)
    await me.type('Who gets topic', 'work/1/state')
    await me.page.keyboard.press('Enter')
    await me.untilGone(HOSTILE)
    check((await me.text()).includes('work/1/#'), 'filters that match the topic')
    await me.visit('Topics', 'work/1/#')
    await me.follow('work/1/#')
    await me.until('worker-1')
    check((await me.rows('Subscriptions')).length === 1, 'the subscribers of a filter')
  },
  async retained_messages () {
    await me.visit('Retained', 'kept/json')
    check(await me.page.$$eval('#main img, #main script', (found) => found.length) === 0, 'a topic became markup')
    await me.press('kept/json')
    await me.dialog('"value": 7')
    await me.dialog('"id": 12345678901234567890') // as it came
    await me.page.keyboard.press('Escape')
    await me.press('kept/binary')
    await me.dialog('00 ff fe 3c')
    await me.page.keyboard.press('Escape')
    await me.press('Remove kept/json')
    await me.press('Remove it')
    await me.untilGone('kept/json')
  },
  async nodes_slow_subscribers_topic_metrics_alarms_metrics () {
    await me.visit('Nodes', 'running')
    await me.until('protect')
    check(/on\b/.test(await me.text()), 'features and whether they are on')
    await me.visit('Slow subscribers', 'Nobody is slow')
    await me.visit('Topic metrics', 'talk/#')
    await me.page.waitForFunction(() => /qos0\.in/.test(document.querySelector('#main').innerText)).catch(() => check(false, 'no counts'))
    await me.visit('Metrics', 'publish_received')
    await me.until('Distributions')
    await me.press('Change per second')
    await me.page.waitForSelector('th[aria-sort=descending]')
    await me.visit('Alarms', 'History')
  },
  async rules_of_access () {
    await me.visit('Rules', 'deny publish client=intruder secret/#')
    const rows = await me.rows('Rules')
    check(rows.length === 2 && rows[0][1] === 'deny' && rows[1][1] === 'allow', `the rules: ${JSON.stringify(rows)}`)
    check(/line 1$/.test(rows[0][0]) && /line 2$/.test(rows[1][0]), `where they stand: ${rows[0][0]}, ${rows[1][0]}`)
  },
  async why_a_message_arrives_or_does_not () {
    await me.visit('Why', 'Nothing is published')
    await me.type('Client', 'worker-1')
    await me.type('Topic', 'work/1/state')
    await me.press('Explain')
    await me.until('It would be sent now.')
    check((await me.rows('Matching subscriptions'))[0][0] === 'work/1/#', 'the subscription that matches')
    await me.shot('why-yes')
    await me.type('Topic', 'elsewhere')
    await me.press('Explain')
    await me.until('It would not arrive.')
    check(me.page.url().includes('topic=elsewhere'), 'the question stands in the address')
    await me.shot('why-no')
    await me.type('Client', HOSTILE)
    await me.type('Topic', `${HOSTILE}/topic`)
    await me.type('Published by', HOSTILE)
    await me.press('Explain')
    await me.until('It would')
    await me.page.waitForFunction((name) => document.querySelector('#main').innerText.includes(name), {}, `${HOSTILE}/topic`)
    check(await me.page.$$eval('#main img, #main script', (found) => found.length) === 0, 'an explanation became markup')
    await me.type('Topic', 'no/#/topic')
    await me.press('Explain')
    await me.until('It would not arrive.')
    await me.go('clients/worker-1', 'Why does a message not arrive?')
    await me.follow('Why does a message not arrive?')
    await me.page.waitForFunction(() => document.querySelector('#main input[name=clientid]')?.value === 'worker-1')
  },
  async what_is_off_says_how_to_switch_it_on () {
    await me.go('configuration', 'admin.bind')
    await me.type('Key', 'slow_subs.enable')
    await me.page.keyboard.press('Enter')
    await me.untilGone('admin.bind')
    await me.press('Change slow_subs.enable')
    await me.type('Value', 'false')
    await me.press('Try it')
    await me.press('Apply')
    await me.toast('1 key changed')
    await me.visit('Slow subscribers', 'slow_subs.enable = true')
    await me.follow('Its keys in the configuration')
    await me.until('slow_subs.threshold')
    check(!(await me.text()).includes('admin.bind'), 'only its keys')
  },
  async every_page_in_light_and_dark_and_narrow () {
    const pages = await me.page.$$eval('nav.side a', (links) => links.map((link) => [link.dataset.page, link.textContent]))
    for (const name of ['light', 'dark']) {
      await me.theme(name)
      const [back, front] = await me.page.evaluate(() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color].map((colour) => colour.match(/\d+/g).reduce((sum, part) => sum + Number(part), 0)))
      check(name === 'dark' ? back < 150 && front > 500 : back > 600 && front < 200, `${name}: background ${back}, text ${front}`)
      for (const [path, label] of pages) {
        await me.visit(label)
        await me.page.waitForFunction(() => document.querySelector('#main h1'))
        await sleep(60)
        check(!await me.page.$('#main [role=alert].problem'), `${label}: ${await me.text()}`)
        await me.shot(`${path}-${name}`)
      }
      await me.go(`clients/${encodeURIComponent(HOSTILE)}`, 'Subscriptions')
      await me.shot(`client-${name}`)
    }
    await me.page.setViewport({ width: 400, height: 800 })
    for (const [path] of [...pages, [`clients/${encodeURIComponent(HOSTILE)}`]]) {
      await me.go(path)
      await me.page.waitForFunction(() => document.querySelector('#main h1'))
      await sleep(50)
      const wide = await me.page.evaluate(() => document.documentElement.scrollWidth <= 400 ? '' : [...document.querySelectorAll('#main *')].filter((one) => one.getBoundingClientRect().right > 401 && !one.closest('.scroll')).map((one) => one.outerHTML.slice(0, 120)).slice(0, 3).join(' ') || 'something')
      check(!wide, `${path}: a narrow window scrolls sideways: ${wide}`)
      if (path === 'clients') await me.shot('narrow')
    }
    await me.press('☰ Pages')
    await me.page.waitForSelector('nav.side.open')
    await me.shot('narrow-menu')
    await me.visit('Overview')
    check(!await me.page.$('nav.side.open'), 'the menu stays open')
    await me.page.setViewport({ width: 1280, height: 900 })
    await me.theme('auto')
  }
})
