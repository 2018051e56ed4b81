// How the search of the pages ranks what it found. Three words or more are usually those of a
// message, so the pages of the errors come first then; all else is as Sphinx has it.
var Scorer = {
  score: ([docName, _title, _anchor, _descr, score, _fileName, kind]) => {
    const words = (new URLSearchParams(location.search).get("q") ?? "").trim().split(/\s+/);
    const first = words.length > 2 && kind === "text" && docName.startsWith("reference/errors/");
    return first ? score + 11 : score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: {0: 15, 1: 5, 2: -5},
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
