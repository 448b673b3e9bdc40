// Makes nodes. Text is text: there is no way here to make markup of a string.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

export const element = (name, attributes = {}, children = []) =>
  filled(document.createElement(name), attributes, children);

// Pieces of prose: text, or a list of what it is and what it says. Formulas are trees of elements
// that the server has chosen from its list; MathML runs nothing.
const MATHML = "http://www.w3.org/1998/Math/MathML";
const tree = ([name, attributes, text, ...children]) =>
  filled(document.createElementNS(MATHML, name), attributes, [text, ...children.map(tree)]);
const PIECES = {
  math: (formula) => tree(formula),
  strong: (text) => element("strong", {}, [text]),
  code: (text) => element("code", {}, [text]),
};
export const prose = (pieces) => pieces.map((piece) => (typeof piece === "string" ? piece : PIECES[piece[0]](piece[1])));

export const svg = (name, attributes = {}, children = []) =>
  filled(document.createElementNS(SVG, name), attributes, children);
