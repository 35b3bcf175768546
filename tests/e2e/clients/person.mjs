// person.mjs - somebody at the dashboard, in a headless Chromium: finds buttons, links and fields by what is written on them, and never by what is behind them.
// BROWSER_MODULES: where puppeteer-core is; CHROMIUM: the browser.
import { createRequire } from 'node:module'
import { mkdirSync, readFileSync, readdirSync } from 'node:fs'

const puppeteer = createRequire(process.env.BROWSER_MODULES + '/')('puppeteer-core')

export class Wrong extends Error {}
export const check = (condition, what) => { if (!condition) throw new Wrong(what) }
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// What runs in the page: elements by their names, those of an open dialog only while there is one.
function inPage () {
  const shown = (one) => one.getClientRects().length > 0
  const all = (selector) => [...(document.querySelector('dialog[open]') ?? document).querySelectorAll(selector)].filter(shown)
  window.person = {
    named: (selector, name, index = 0) => all(selector).filter((one) => (one.getAttribute('aria-label') === name || one.textContent.trim() === name) && !one.disabled)[index],
    field: (label, index = 0) => all('label.field').filter((one) => one.querySelector('span').textContent.startsWith(label))[index]?.querySelector('input, textarea, select')
  }
}

// shots: folder of screenshots. told(name): called with each name a person has to know.
export async function person (url, shots, told = () => {}) {
  mkdirSync(shots, { recursive: true })
  const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: ['--no-sandbox', '--disable-gpu'] })
  const page = await browser.newPage()
  const problems = []; const hosts = new Set()
  await page.setViewport({ width: 1280, height: 900 })
  page.setDefaultTimeout(45000)
  page.on('pageerror', (error) => problems.push(`error in the page: ${error.message}`))
  page.on('console', (message) => { if (message.type() === 'error' && !/status of (401|404|403|400|409|429)/.test(message.text())) problems.push(`console: ${message.text()}`) })
  page.on('request', (request) => { if (!request.url().startsWith('blob:')) hosts.add(new URL(request.url()).host) })
  page.on('dialog', async (dialog) => { problems.push(`a script ran: ${dialog.message()}`); await dialog.dismiss() })
  await page.evaluateOnNewDocument(inPage)
  await (await browser.target().createCDPSession()).send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: shots })

  const found = async (what, name, index) => {
    const there = await page.waitForFunction((what, name, index) => what === 'field' ? window.person.field(name, index) : window.person.named(what, name, index), {}, what, name, index)
      .catch(() => { throw new Wrong(`no ${what} "${name}"`) })
    return there.asElement()
  }
  const me = {
    browser,
    page,
    problems,
    hosts,
    text: () => page.$eval('#main', (main) => main.innerText),
    dialogText: () => page.$eval('dialog[open]', (dialog) => dialog.innerText),
    until: (wanted, what = 'main') => page.waitForFunction((wanted, what) => document.querySelector(what)?.innerText.includes(wanted), {}, wanted, what).catch(() => { throw new Wrong(`never saw "${wanted}" in ${what}`) }),
    untilGone: (wanted, what = 'main') => page.waitForFunction((wanted, what) => !document.querySelector(what)?.innerText.includes(wanted), {}, wanted, what).catch(() => { throw new Wrong(`"${wanted}" stays`) }),
    dialog: async (wanted) => { await me.until(wanted, 'dialog[open]') },
    async closed () { await page.waitForFunction(() => !document.querySelector('dialog[open]')) },
    // To an address of the dashboard.
    async go (path, wanted) {
      await page.evaluate((path) => { location.hash = path }, `#/${path}`)
      if (wanted) await me.until(wanted)
    },
    // To a page, by the link in the navigation.
    async visit (label, wanted) {
      told(label)
      await (await found('nav.side a', label)).evaluate((link) => link.click())
      await page.waitForFunction((label) => document.querySelector('nav.side a[aria-current]')?.textContent === label, {}, label)
      if (wanted) await me.until(wanted)
    },
    async press (name, index = 0) {
      told(name)
      await (await found('button', name, index)).evaluate((button) => button.click())
    },
    async follow (name, index = 0) { await (await found('a', name, index)).evaluate((link) => link.click()) },
    async type (label, value, index = 0) {
      told(label)
      const control = await found('field', label, index)
      const tag = await control.evaluate((one) => one.tagName)
      if (tag === 'SELECT') return await control.select(value)
      await control.click({ clickCount: 3 })
      await control.press('Backspace')
      await control.type(value)
    },
    async toast (wanted) {
      await page.waitForFunction((wanted) => [...document.querySelectorAll('.toast')].some((one) => one.textContent.includes(wanted)), {}, wanted).catch(() => { throw new Wrong(`nobody said "${wanted}"`) })
      await page.evaluate(() => document.querySelectorAll('.toast').forEach((one) => one.click()))
    },
    // The cells of the rows of the table with this name, as texts.
    rows: (caption) => page.$$eval('.scroll', (all, caption) => [...(all.find((one) => one.getAttribute('aria-label') === caption)?.querySelectorAll('tbody tr') ?? [])].map((row) => [...row.cells].map((cell) => cell.innerText.trim())), caption),
    async login (name, password) {
      await page.waitForSelector('input[name=username]')
      await me.type('User', name)
      await me.type('Password', password)
      await page.keyboard.press('Enter')
    },
    // The text of the file that was downloaded, by its name.
    async downloaded (fits) {
      for (let i = 0; i < 600; i++, await sleep(50)) {
        const name = readdirSync(shots).find(fits)
        const text = name ? readFileSync(`${shots}/${name}`, 'utf8') : ''
        if (text) return text
      }
      throw new Wrong(`nothing was downloaded that is ${fits}`)
    },
    shot: (name) => page.screenshot({ path: `${shots}/${name}.png` }),
    async theme (name) { await page.evaluate((name) => { while (!document.querySelector('#theme').textContent.endsWith(name)) document.querySelector('#theme').click() }, name) }
  }
  return me
}

// Runs the tests one after the other: "ok NAME" or "FAILED NAME: WHY". The number of those that failed.
export async function runAll (me, tests) {
  let failed = 0
  const only = process.env.TESTS_ONLY
  for (const [name, test] of Object.entries(tests)) {
    if (only && !name.match(only)) continue
    const since = Date.now()
    try {
      await test()
      console.log(`ok ${name} (${((Date.now() - since) / 1000).toFixed(1)} s)`)
    } catch (error) {
      failed++
      await me.shot(`FAILED-${name}`)
      console.log(`FAILED ${name}: ${error instanceof Wrong ? error.message : error.stack} ${me.problems.splice(0).join('; ')}`)
      await me.page.setViewport({ width: 1280, height: 900 })
      await me.page.evaluate(() => document.querySelectorAll('dialog').forEach((one) => one.close()))
    }
  }
  return failed
}
