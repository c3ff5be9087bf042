// The folder in which the pack is installed.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { folderIn } from '../../../js/lib/pack.mjs'

for (const [url, folder] of [
  ['http://127.0.0.1:8188/extensions/image-prompt/notices.js', 'image-prompt'],
  ['http://127.0.0.1:8188/extensions/my%20pack/lib/pack.mjs?v=1', 'my pack'],
  ['https://example.com/behind/a/proxy/extensions/ComfyUI-Image-Prompt/settings/starter.mjs', 'ComfyUI-Image-Prompt']
])
  test(`${url} is of ${folder}`, () => assert.equal(folderIn(url), folder))
