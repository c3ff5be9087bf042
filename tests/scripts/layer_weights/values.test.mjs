// What the bars read in `values`, by the table by which Python is tested too, and what they write.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import { textOf, weightsOf } from '../../../js/layer_weights/values.mjs'

const table = JSON.parse(readFileSync(new URL('values.json', import.meta.url), 'utf8'))

/** The blocks of a model of the table, where each row is the kind, the layers of a block, and how many there are. */
function blocks(model) {
  return table.models[model].flatMap(([kind, layers, count]) => Array.from({ length: count }, () => ({ kind, layers })))
}

function repeated(rows) {
  return rows.flatMap(([value, count]) => Array(count).fill(value))
}

for (const { model, by, text, weights, problem } of table.cases)
  test(`${JSON.stringify(text)} for ${model} by ${by}`, () => {
    const found = weightsOf(text, blocks(model), by)
    if (problem) assert.equal(found.problem, problem)
    else assert.deepEqual(found.flat(), repeated(weights))
  })

for (const { model, by, text, weights } of table.cases)
  if (weights)
    test(`the text written for ${JSON.stringify(text)} says the same to ${model}`, () => {
      const found = weightsOf(text, blocks(model), by)
      const written = textOf(found, blocks(model), by)
      assert.deepEqual(weightsOf(written, blocks(model), by), found)
    })

test('weights are written in the shortest form', () => {
  const short = (model, by, text) => textOf(weightsOf(text, blocks(model), by), blocks(model), by)
  assert.equal(short('SD1.5', 'blocks', Array(16).fill('0.80').join()), '0.8')
  assert.equal(short('SD1.5', 'blocks', '1,1,1,1,1,1,.5,0,0,0,0,0,0,0,0,0'), '1, 0.5, 0')
  assert.equal(short('SD1.5', 'blocks', '0,0,0,.5,0,0,1,0,0,0,0,0,0,0,0,0'), '3:0.5, 6:1')
  assert.equal(short('SDXL', 'layers', `${Array(12).fill(0)},1,${Array(57).fill(0)}`), '12:1')
  assert.equal(short('SDXL', 'blocks', '1,1,1,0,1,1,1,1,1,1,1'), '1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1')
  assert.equal(short('Anima', 'blocks', '0:-0.0'), '0')
})
