// A router of one's own: the class whose mean feature points most nearly in a text's direction.
import { registerRouter } from "accrete-lm/extend";

/** @param {Float64Array} values @param {number} row @param {number} width */
function normalise(values, row, width) {
  const own = values.subarray(row * width, (row + 1) * width);
  const length = Math.hypot(...own) || 1;
  for (let i = 0; i < width; i++) own[i] /= length;
}

/** Answers with the cosine to each class's direction; Accrete turns it into probabilities. */
function routerOf(directions, classes) {
  return {
    posterior({ rows, width, values }) {
      const cosines = new Float64Array(rows * classes);
      for (let row = 0; row < rows; row++)
        for (let c = 0; c < classes; c++)
          for (let i = 0; i < width; i++)
            cosines[row * classes + c] += values[row * width + i] * directions[c * width + i];
      return cosines;
    },
    // With `decode` below it is saved and read again; without both it is fitted anew when a folder is opened.
    encode: () => new TextEncoder().encode(JSON.stringify({ classes, directions: [...directions] })),
  };
}

registerRouter("cosine-means", {
  fit({ labels, features: { rows, width, values }, targets }) {
    const directions = new Float64Array(labels.length * width);
    for (let row = 0; row < rows; row++)
      for (let i = 0; i < width; i++) directions[targets[row] * width + i] += values[row * width + i];
    for (let c = 0; c < labels.length; c++) normalise(directions, c, width);
    return routerOf(directions, labels.length);
  },
  decode(bytes) {
    const { classes, directions } = JSON.parse(new TextDecoder().decode(bytes));
    return routerOf(Float64Array.from(directions), classes);
  },
});
