-- pg_dist_object is a view of the catalogs (objects.sql). What only create_distributed_function() knows is here.

DROP TABLE trunkline.pg_dist_object;

CREATE TABLE trunkline_internal.distributed_function (
  function oid PRIMARY KEY,
  distribution_argument_index int,
  colocationid int,
  force_delegation bool
);
GRANT SELECT ON trunkline_internal.distributed_function TO PUBLIC;
