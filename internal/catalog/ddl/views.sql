-- Views over the metadata alone.

CREATE OR REPLACE VIEW trunkline.pg_dist_shard_placement AS
SELECT p.shardid, p.shardstate, p.shardlength, n.nodename, n.nodeport, p.placementid
FROM trunkline.pg_dist_placement p JOIN trunkline.pg_dist_node n ON n.groupid = p.groupid
WHERE n.noderole = 'primary';
