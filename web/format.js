// format.js - numbers and times as people read them.
import { h } from './dom.js'

const SCALES = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']]

export function short (number) {
  if (number === null || number === undefined || !isFinite(number)) return '–'
  for (const [scale, letter] of SCALES) if (Math.abs(number) >= scale) return `${Number((number / scale).toPrecision(3))} ${letter}`
  return Number.isInteger(number) ? String(number) : String(Number(number.toPrecision(3)))
}

export function bytes (number) {
  if (number === null || number === undefined) return '–'
  for (const [power, unit] of [[3, 'GiB'], [2, 'MiB'], [1, 'KiB']]) if (number >= 1024 ** power) return `${(number / 1024 ** power).toFixed(1)} ${unit}`
  return `${Math.round(number)} B`
}

export function seconds (value) {
  if (value === null || value === undefined) return '–'
  if (value === 0) return '0'
  if (value < 1e-3) return `${(value * 1e6).toFixed(value < 1e-5 ? 1 : 0)} µs`
  if (value < 1) return `${(value * 1e3).toFixed(value < 1e-2 ? 2 : 1)} ms`
  return `${value.toFixed(2)} s`
}

export function duration (value) {
  const days = Math.floor(value / 86400); const hours = Math.floor(value / 3600) % 24; const minutes = Math.floor(value / 60) % 60
  if (days) return `${days} d ${hours} h`
  if (hours) return `${hours} h ${minutes} min`
  return minutes ? `${minutes} min ${Math.floor(value % 60)} s` : `${Math.floor(value)} s`
}

export function time (text) {
  if (!text) return '–'
  const when = new Date(text)
  return h('time', { datetime: text, title: text }, when.toLocaleString([], { dateStyle: 'short', timeStyle: 'medium' }))
}

// In so many seconds, or so many ago.
export function relative (text, now = Date.now()) {
  const away = (new Date(text) - now) / 1000
  return away >= 0 ? `in ${duration(away)}` : `${duration(-away)} ago`
}
