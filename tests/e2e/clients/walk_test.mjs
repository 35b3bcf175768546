// node walk_test.mjs URL SHOTS: somebody who knows the dashboard from DOCUMENT (docs/dashboard.md) alone finds the client CULPRIT among CLIENTS, looks at what it does, and
// bans it. Whatever is clicked or typed into has to stand there, in bold.
import { readFileSync, readdirSync, rmSync } from 'node:fs'
import { person, runAll, check, sleep } from './person.mjs'

const [url, shots] = process.argv.slice(2)
const { PASSWORD, CULPRIT, CLIENTS } = process.env
const document = readFileSync(process.env.DOCUMENT, 'utf8').replaceAll(/\s+/g, ' ')
const used = new Set()
const told = (name) => {
  check(document.includes(`**${name}**`), `the document does not speak of **${name}**`)
  used.add(name)
}
for (const one of readdirSync(shots)) rmSync(`${shots}/${one}`)
const me = await person(url, shots, told)
const second = (cell) => parseFloat(cell.replace(/ k$/, '000'))

const tests = {
  async logging_in_and_a_password_of_ones_own () {
    await me.page.goto(url)
    await me.type('User', 'admin')
    await me.type('Password', PASSWORD)
    await me.press('Log in')
    await me.until('Messages per second')
    await me.press('Change password')
    await me.type('The one in force', PASSWORD)
    await me.type('New password', 'a better one')
    await me.type('New password again', 'a better one')
    await me.press('Change')
    await me.closed()
  },
  async the_culprit_comes_first () {
    await me.visit('Clients', 'press-')
    await me.until(`(${Number(CLIENTS) + 1} rows)`)
    await me.press('In')
    await me.page.waitForSelector('th[aria-sort=descending]')
    const head = await me.page.$$eval('th', (all) => all.map((one) => one.textContent.trim()))
    await me.page.waitForFunction((at) => /^\d/.test(document.querySelector('tbody tr')?.cells[at].innerText), {}, head.indexOf('In/s')) // the second look
    let rate; let usual
    for (let looks = 0; looks < 30 && !(rate > 20 * usual && rate > 25); looks++) { // a look every five seconds; it may be held up itself on a busy machine
      if (looks) await sleep(1000)
      const [first, next] = await me.rows('Clients')
      check(first[head.indexOf('Client id')] === CULPRIT, `${first[head.indexOf('Client id')]} publishes the most`)
      ;[rate, usual] = [first, next].map((row) => second(row[head.indexOf('In/s')]))
    }
    check(rate > 20 * usual && rate > 25, `it publishes ${rate}/s, the next ${usual}/s`)
    await me.shot('1-found')
  },
  async what_it_does_is_seen_in_a_trace () {
    await me.follow(CULPRIT)
    await me.press('Trace this client')
    await me.press('Start')
    await me.until(`plant/${CULPRIT}/debug`)
    await me.page.waitForFunction(() => document.querySelectorAll('.log li').length > 40)
    const seen = await me.page.$$eval('.log li', (all) => all.map((one) => one.innerText))
    check(seen.some((line) => /received[\s\S]*PUBLISH[\s\S]*plant\/press-117\/debug/.test(line)), `its packets in words: ${seen.slice(0, 5).join(' | ')}`)
    await me.type('Lines with', 'PUBLISH')
    await me.page.waitForFunction(() => [...document.querySelectorAll('.log li')].every((one) => one.innerText.includes('PUBLISH')))
    await me.shot('2-trace')
    await me.press('Stop')
    await me.until('over')
    await me.press('Download as text')
    check((await me.downloaded((name) => name.startsWith(CULPRIT) && name.endsWith('.txt'))).includes(`plant/${CULPRIT}/debug`), 'the downloaded file')
  },
  async bans_are_switched_on () {
    await me.visit('Configuration', 'What differs')
    await me.type('Key', 'banned.enable')
    await me.press('Search')
    await me.press('banned.enable')
    await me.type('Value', 'true')
    await me.press('Try it')
    await me.press('Apply')
    await me.toast('1 key changed')
  },
  async it_is_banned () {
    await me.visit('Clients', 'press-')
    await me.press('In')
    await me.until(CULPRIT)
    await me.follow(CULPRIT)
    await me.press('Ban this client')
    await me.type('Reason', 'publishes 50 times a second')
    await me.type('How long', '86400')
    await me.shot('3-ban')
    await me.press('Ban')
    await me.until('There is no such session')
    await me.visit('Bans', CULPRIT)
    check((await me.text()).includes('publishes 50 times a second'), 'the reason')
    await me.shot('4-bans')
  },
  async it_is_gone_and_the_others_are_there () {
    await me.visit('Clients', 'press-')
    await me.until(`(${CLIENTS} rows)`)
    check(!(await me.text()).includes(CULPRIT), 'it is still there')
    check(me.problems.length === 0, me.problems.join('\n'))
  }
}

let failed = 1
try {
  failed = await runAll(me, tests)
  console.log(`${used.size} names of the document were used`)
} finally {
  await me.browser.close()
}
process.exit(failed ? 1 : 0)
