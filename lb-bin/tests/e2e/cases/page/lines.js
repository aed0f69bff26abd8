// The lines of the last minute in a time that is made up: from where to where they go, of
// which 60 is now; and what is seen of a service that is gone.

return (async () => {
  const [{ Figures }, { GONE, Model }] = await Promise.all(
    ['figures', 'model'].map((name) => import(`/live/${name}.js`)),
  );
  const list = document.createElement('dl');
  const figures = new Figures(list);
  const model = new Model();
  const total = { requests: 1, failed: 0, rate: 4, errors: 0, p50: 1, p90: 1, p99: 1 };
  const lines = (from, to) => {
    for (let at = from; at < to; at += 0.25) model.traffic({ at, seconds: 0.25, total });
    figures.show(model, null);
    const points = (line) => line.split('L').map((point) => parseInt(point, 10));
    const line = list.querySelector('.stroke').getAttribute('d');
    return line.split('M').slice(1).map((piece) => [points(piece).at(0), points(piece).at(-1)]);
  };
  const all = [
    lines(1000, 1031),
    lines(1050, 1061),
    lines(5000, 5003),
    lines(4000, 4003),
    lines(4003, 4200),
  ];
  figures.show(model, GONE);
  return [all, list.querySelector('.remark').textContent];
})()
