// Regions as text: by the table that tests/nodes/test_regions.py reads too.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'

import { format, owner, parse, withLine, withMore } from '../../../js/regions/text.mjs'

const { texts, labels } = JSON.parse(readFileSync(new URL('texts.json', import.meta.url), 'utf8'))

for (const { text, shapes, wrong = [] } of texts)
  test(`a text says what Python reads: ${JSON.stringify(text)}`, () => {
    const found = parse(text)
    assert.deepEqual(found.shapes, shapes)
    assert.deepEqual(
      found.problems.map(({ line, problem, given }) => [line, problem, given]),
      wrong
    )
  })

for (const { references, label, number } of labels)
  test(`a line of ${label} among ${JSON.stringify(references)} is for reference ${number}`, () => {
    const known = Object.entries(references).map(([number, name]) => ({ number: Number(number), name }))
    assert.equal(owner(label, known), number)
  })

test('what is written is read again as it was', () => {
  for (const { shapes } of texts)
    for (const shape of shapes) assert.deepEqual(parse(format(shape)).shapes, [{ ...shape, line: 1 }])
})

test('a shape is written with no more digits than a hand can place', () => {
  const points = [[0, 0], [1 / 3, 0], [1 / 3, 2 / 3], [0, 2 / 3]]
  assert.equal(format({ label: '1', cut: false, kind: 'rect', points }), '1: rect 0 0, 0.333 0.667')
  assert.equal(
    format({ label: 'lady', cut: true, kind: 'polygon', points: points.slice(1) }),
    'lady: not polygon 0.333 0, 0.333 0.667, 0 0.667'
  )
})

test('an edit changes its line, and leaves remarks and what cannot be read', () => {
  const text = '# two people\n1: rect 0 0, 0.5 1\n2: rect x\n'
  assert.equal(withLine(text, 2, '1: rect 0 0, 1 1'), '# two people\n1: rect 0 0, 1 1\n2: rect x\n')
  assert.equal(withLine(text, 2), '# two people\n2: rect x\n')
  assert.deepEqual(withMore(text, 'new'), ['# two people\n1: rect 0 0, 0.5 1\n2: rect x\nnew', 4])
  assert.deepEqual(withMore('', 'new'), ['new', 1])
})
