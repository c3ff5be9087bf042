// @ts-check
// Shows the choices of our nodes in the language of the browser. The values that are saved and sent stay English.
import { app } from '../../scripts/app.js'
import { choiceWords } from './lib/words.mjs'

app.registerExtension({
  name: 'image-prompt.choices',

  nodeCreated(/** @type {import('../devtools/types/comfy').Node} */ node) {
    for (const widget of node.widgets ?? []) {
      const words = widget.type === 'combo' ? choiceWords(String(node.comfyClass), widget.name) : undefined
      if (words) widget.options.getOptionLabel = (value) => words[value ?? ''] ?? value ?? ''
    }
  }
})
