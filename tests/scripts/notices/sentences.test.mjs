// What stands on a node of a message, and of ComfyUI's refusals.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { firstSentence, refusal } from '../../../js/notices/sentences.mjs'

const SENTENCES = {
  'ip-adapter_sdxl.bin is an IP-Adapter for SDXL, the model is SD1.5: use one made for SD1.5.\nNeeded: more.':
    'ip-adapter_sdxl.bin is an IP-Adapter for SDXL, the model is SD1.5: use one made for SD1.5.',
  'start 0.8 lies after end 0.2: start must not be greater than end. More.':
    'start 0.8 lies after end 0.2: start must not be greater than end.',
  '\n no point here \nsecond': 'no point here',
  'What now? This.': 'What now?',
  '': ''
}

test('the first sentence ends where it should', () => {
  for (const [text, first] of Object.entries(SENTENCES)) assert.equal(firstSentence(text), first)
})

test('a message of the node itself stands alone', () => {
  const error = {
    type: 'custom_validation_failed',
    message: 'Custom validation failed for node',
    details: 'start - start 0.8 lies after end 0.2.',
    extra_info: { input_name: 'start' }
  }
  assert.equal(refusal([error, error])?.text, 'start 0.8 lies after end 0.2.')
})

test('a value that is in no list is told from others', () => {
  const extra_info = { input_name: 'adapter_name', received_value: 'x.bin' }
  const found = refusal([{ type: 'value_not_in_list', message: 'Value not in list', details: 'all', extra_info }])
  assert.deepEqual(found, { text: 'Value not in list: all', input: 'adapter_name', value: 'x.bin', isOff: true })
  assert.equal(refusal([{ type: 'required_input_missing', message: 'Missing', details: 'model' }])?.isOff, false)
  assert.equal(refusal([]), undefined)
})
