// chart.js - lines over time on a canvas, with a legend that shows the last values, or those under the pointer or the arrow keys.
import { h, fill } from './dom.js'
import { KEPT } from './live.js'

const LINES = ['--line-1', '--line-2', '--line-3', '--line-4']

// A round number at or above: 1, 2 or 5 times a power of ten.
function ceiling (value) {
  if (!(value > 0)) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value)
}

// series: [{ label, of(sample) }]; format(value) for axis and legend.
export function chart (title, series, format) {
  const canvas = h('canvas', { tabindex: '0', role: 'img', 'aria-label': title })
  const legend = h('ul', { class: 'legend' })
  const element = h('figure', { class: 'chart' }, h('figcaption', null, title), canvas, legend)
  let samples = []
  let picked = null // index, from the pointer or the keys

  function legendShow () {
    const sample = samples[picked ?? samples.length - 1]
    fill(legend, series.map((line, i) => h('li', null, h('span', { class: `key line-${i + 1}` }), `${line.label} `, h('b', null, sample ? format(line.of(sample)) : '–'))),
      picked !== null && sample && h('li', null, new Date(sample.at).toLocaleTimeString()))
    canvas.setAttribute('aria-label', `${title}: ` + series.map((line) => `${line.label} ${sample ? format(line.of(sample)) : 'unknown'}`).join(', '))
  }

  function draw () {
    const width = canvas.clientWidth; const height = canvas.clientHeight
    if (!width) return
    const ratio = devicePixelRatio || 1
    canvas.width = width * ratio
    canvas.height = height * ratio
    const pen = canvas.getContext('2d')
    pen.scale(ratio, ratio)
    const style = getComputedStyle(document.documentElement)
    const left = 52; const bottom = height - 18; const top = 8
    const values = samples.flatMap((sample) => series.map((line) => line.of(sample) ?? 0))
    const most = ceiling(Math.max(0, ...values))
    const x = (i) => left + (width - left - 6) * (i + KEPT - samples.length) / (KEPT - 1)
    const y = (value) => bottom - (bottom - top) * value / most
    pen.font = '11px system-ui, sans-serif'
    pen.fillStyle = style.getPropertyValue('--muted')
    pen.strokeStyle = style.getPropertyValue('--grid')
    pen.textAlign = 'right'
    pen.textBaseline = 'middle'
    for (const part of [0, 0.5, 1]) {
      pen.beginPath()
      pen.moveTo(left, y(most * part))
      pen.lineTo(width - 6, y(most * part))
      pen.stroke()
      pen.fillText(format(most * part), left - 6, y(most * part))
    }
    pen.textAlign = 'left'
    pen.fillText(`−${Math.round(KEPT / 60)} min`, left, height - 7)
    pen.textAlign = 'right'
    pen.fillText('now', width - 6, height - 7)
    series.forEach((line, n) => {
      pen.strokeStyle = style.getPropertyValue(LINES[n])
      pen.lineWidth = 1.6
      pen.beginPath()
      let drawing = false
      samples.forEach((sample, i) => {
        const value = line.of(sample)
        if (value === null || value === undefined) { drawing = false; return }
        if (drawing) pen.lineTo(x(i), y(value)); else pen.moveTo(x(i), y(value))
        drawing = true
      })
      pen.stroke()
    })
    if (picked !== null) {
      pen.strokeStyle = style.getPropertyValue('--muted')
      pen.lineWidth = 1
      pen.beginPath()
      pen.moveTo(x(picked), top)
      pen.lineTo(x(picked), bottom)
      pen.stroke()
    }
    legendShow()
  }

  function pick (index) {
    picked = index === null || !samples.length ? null : Math.max(0, Math.min(samples.length - 1, index))
    draw()
  }
  canvas.addEventListener('pointermove', (event) => {
    const share = (event.offsetX - 52) / (canvas.clientWidth - 58)
    pick(Math.round(share * (KEPT - 1)) - (KEPT - samples.length))
  })
  canvas.addEventListener('pointerleave', () => pick(null))
  canvas.addEventListener('blur', () => pick(null))
  canvas.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    if (!step) return
    event.preventDefault()
    pick((picked ?? samples.length - 1) + step)
  })
  new ResizeObserver(draw).observe(canvas)
  return { element, show (next) { samples = next; draw() } }
}
