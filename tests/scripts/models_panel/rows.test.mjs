// What the models panel shows of the server's answers.
import assert from 'node:assert/strict'
import test from 'node:test'

import { card, fits, otherCard, sections } from '../../../js/models_panel/rows.mjs'

const published = { name: 'plus.safetensors', size: '98 MB', licence: 'licence MIT', link: 'https://a/plus' }
const get = { ...published, folder: 'models/ipadapter', plain: true }
const entry = { title: 'IP-Adapter plus', base_model: 'SD1.5', kind: 'adapter', purposes: ['plus'], licence: 'MIT' }
const file = { name: 'mine/my.bin', folder: 'models/ipadapter', cached: false }

test('a missing file is shown by its published name, with all that is needed to get it', () => {
  const { status, name, about, why, place, link } = card({ entry, status: 'missing', why: 'Get it', file: null, get })
  assert.deepEqual([status, name, why, link], ['missing', 'plus.safetensors', '', 'https://a/plus'])
  assert.deepEqual([about, place], [['IP-Adapter plus', '98 MB', 'licence MIT'], 'models/ipadapter/plus.safetensors'])
})

test('what has to be unpacked says so', () => {
  const archive = { ...get, plain: false }
  assert.equal(card({ entry, status: 'missing', why: 'unpack it', file: null, get: archive }).why, 'unpack it')
})

test('a file that is there is shown by its own name and place, without a link', () => {
  const { name, about, place, link } = card({ entry, status: 'found', why: '', file, get })
  assert.deepEqual([name, about, place, link], ['mine/my.bin', ['IP-Adapter plus'], 'models/ipadapter/mine/my.bin', ''])
})

test('an unusable file says why, and where to get it again', () => {
  const { why, link, place } = card({ entry, status: 'unusable', why: 'is a web page', file, get }, true)
  assert.deepEqual([why, link, place], ['is a web page', 'https://a/plus', 'models/ipadapter/mine/my.bin'])
})

test('what the workflow lacks stands out from what is merely not there', () => {
  const row = { entry, status: 'missing', why: '', file: null, get }
  assert.deepEqual([card(row).status, card(row, true).status], ['missing', 'needed'])
})

test('a search finds all of its words in any order, in name, kind, purpose and licence', () => {
  const found = card({ entry, status: 'missing', why: '', file: null, get })
  for (const searched of ['', 'plus', 'mit sd1.5', 'adapter  plus']) assert.ok(fits(found, searched), searched)
  assert.ok(!fits(found, 'plus sdxl'))
})

test('sections come in the order in which something is to be done, and base models stay together', () => {
  const row = (name, base_model, kind = 'adapter') => {
    return { entry: { ...entry, base_model, kind }, status: 'missing', why: '', file: null, get: { ...get, name } }
  }
  const rows = [row('a', 'SD1.5'), row('e', '', 'encoder'), row('b', 'SDXL'), row('c', 'SD1.5')]
  const others = [
    { name: 'x', about: 'a LoRA', problem: '', folder: '' },
    { name: 'y', about: 'is empty', problem: 'y is empty', folder: '' }
  ]
  const names = (cards) => cards.map(({ name }) => name).join()
  const found = sections({ rows, others }, '').map(({ status, cards }) => [status, names(cards)])
  const expected = { misplaced: '', unusable: 'y', found: '', other: 'x', missing: 'a,c,b,e' }
  assert.deepEqual(found, Object.entries(expected))
  assert.deepEqual(otherCard(others[1]).why, 'is empty')
})
