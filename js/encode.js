// @ts-check
// Shows on Encode Image Prompt what the encoder will see of a picture, and lets a square be placed by hand.
import { app } from '../../scripts/app.js'
import { viewOf } from './encode/view.mjs'

app.registerExtension({
  name: 'image-prompt.encode',

  nodeCreated(created) {
    const node = /** @type {import('../devtools/types/comfy').Node} */ (created)
    if (node.comfyClass === 'ImagePromptEncode') viewOf(node)
  }
})
