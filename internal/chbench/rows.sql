CREATE FUNCTION draw(seed int, below int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT abs(hashint4(seed) % below)';
INSERT INTO warehouse SELECT w, 'wh' || w, 'street ' || w, 'city ' || w, 'AA', '123456789', 0.05 + w / 100.0, 300000 FROM generate_series(1, {warehouses}) AS w;
INSERT INTO district SELECT d, w, 'd' || d, 'city ' || d, 'AB', d / 100.0, 30000, 31 FROM generate_series(1, {warehouses}) AS w, generate_series(1, 10) AS d;
INSERT INTO customer SELECT c, d, w, 'first' || draw(c * 7, 9), 'OE', 'last' || draw(c * 11 + d, 13), 'city' || draw(c + d, 5), chr(65 + draw(w * 9973 + d * 101 + c, 26)) || 'X',
  (1 + draw(c * 17 + d, 9)) || '55-' || c, timestamp '2010-01-01' + c * interval '1 day', CASE WHEN draw(c, 10) = 0 THEN 'BC' ELSE 'GC' END, draw(c * 5, 50) / 100.0,
  draw(w * 31 + d * 7 + c, 4000) / 10.0 - 100, 'data of customer ' || c FROM generate_series(1, {warehouses}) AS w, generate_series(1, 10) AS d, generate_series(1, 30) AS c;
INSERT INTO history SELECT c_id, c_d_id, c_w_id, c_d_id, c_w_id, c_since, 10, 'history' FROM customer;
INSERT INTO orders SELECT o, d, w, 1 + draw(o * 53 + d, 30), timestamp '2012-03-01' + (o * 11 + d * 3 + w) * interval '1 hour', CASE WHEN o <= 21 THEN 1 + draw(o * 3 + d, 10) END,
  5 + draw(w * 1009 + d * 37 + o, 11), 1 FROM generate_series(1, {warehouses}) AS w, generate_series(1, 10) AS d, generate_series(1, 30) AS o;
INSERT INTO new_order SELECT o_id, o_d_id, o_w_id FROM orders WHERE o_carrier_id IS NULL;
INSERT INTO order_line SELECT o_id, o_d_id, o_w_id, n, 1 + draw(o_w_id * 7919 + o_d_id * 613 + o_id * 31 + n, 200), CASE WHEN draw(o_id * 3 + n, 10) = 0 THEN 1 + draw(n + o_id, {warehouses}) ELSE o_w_id END,
  CASE WHEN o_carrier_id IS NOT NULL THEN o_entry_d + draw(o_id + n, 5) * interval '1 day' END, 1 + draw(n * 77 + o_id, 10), (1 + draw(o_id * 91 + n * 3 + o_w_id, 99999)) / 100.0, 'dist'
  FROM orders, generate_series(1, 15) AS n WHERE n <= o_ol_cnt;
INSERT INTO item SELECT i, draw(i, 10000), 'item' || draw(i * 3, 60), (100 + draw(i * 13, 9900)) / 100.0,
  (ARRAY['PR', 'co', 'zz', 'ab'])[1 + draw(i * 5, 4)] || 'data' || (ARRAY['a', 'b', 'c', 'BB', 'original'])[1 + draw(i * 19, 5)] FROM generate_series(1, 200) AS i;
INSERT INTO stock SELECT i, w, 10 + draw(w * 211 + i, 491), 'dist', draw(i, 50), draw(i * 29 + w, 40), draw(i + w, 4), 'stock' FROM generate_series(1, {warehouses}) AS w, generate_series(1, 200) AS i;
INSERT INTO region SELECT n - 1, name, 'a region' FROM unnest(ARRAY['Africa', 'America', 'Asia', 'Europe', 'Middle East']) WITH ORDINALITY AS r (name, n);
INSERT INTO nation SELECT 64 + n, (ARRAY['Germany', 'Cambodia', 'France', 'Kenya', 'Peru', 'Japan', 'Italy', 'Egypt', 'Spain', 'Iran', 'Chad', 'Chile', 'Mali', 'Poland', 'India', 'Norway', 'Cuba',
  'Oman', 'Latvia', 'Togo', 'Laos', 'Malta', 'Fiji', 'Qatar', 'Greece', 'Iraq'])[n], (ARRAY[3, 2, 3, 0, 1, 2, 3, 0, 3, 4, 0, 1, 0, 3, 2, 3, 1, 4, 3, 0, 2, 3, 2, 4, 3, 4])[n], 'a nation' FROM generate_series(1, 26) AS n;
INSERT INTO supplier SELECT s, 'Supplier' || s, 'address ' || s, 65 + draw(s * 23, 26), '555-' || s, draw(s, 10000) / 10.0, CASE WHEN draw(s * 7, 20) = 0 THEN 'bad' ELSE 'good' END || ' supplier' FROM generate_series(0, 999) AS s;
DROP FUNCTION draw;
