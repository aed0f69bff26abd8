// Requests in a picture whose time is made up: how many have come down at whom.

return (async () => {
  const [{ Flight }, { geometry, way }, { Rows }] = await Promise.all(
    ['flight', 'geometry', 'rows'].map((name) => import(`/live/${name}.js`)),
  );
  const at = geometry(1000, 400, 1);
  const counted = { last: { rate: 0, errors: 0, p50: null } };
  const endpoint = (name) => ({ id: `id of ${name}`, name, state: 'ready', counted });
  const rows = new Rows();
  rows.set([{ name: 'shop', endpoints: ['a', 'b', 'c'].map(endpoint) }]);
  while (rows.move(0.02, at.height, at.scale, false).rows);

  const flight = new Flight();
  const launch = (number, name, status) => {
    for (let i = 0; i < number; i += 1) {
      const sent = { t: i / 100, status, ms: i, client: `10.0.0.${i % 20}`, reason: null };
      flight.launch(sent, name && rows.find('shop', name), 4);
    }
  };
  launch(40, 'a', 200);
  launch(20, 'b', 500);
  launch(5, null, 503);

  const down = new Map();
  const where = (sent) => {
    const { x, y } = way(at, sent, 1);
    if (x < at.wall) return 'the balancer';
    const near = rows.all.find((row) => Math.abs(row.y - y) < row.height / 2);
    return Math.abs(x - at.paddles) < 20 ? near?.name : 'nowhere';
  };
  for (let step = 0; step < 200; step += 1) {
    const flying = flight.requests.filter((sent) => !sent.falling);
    flight.advance(0.02, at);
    for (const sent of flying.filter(({ landed, falling }) => landed || falling)) {
      down.set(where(sent), (down.get(where(sent)) ?? 0) + 1);
    }
  }
  down.set('in the air', flight.requests.length);
  launch(10_000, 'c', 200);
  down.set('at most', flight.requests.length);
  return [...down].sort();
})()
