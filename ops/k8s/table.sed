# supervisord.conf → the table of one pod: one collector and one streamer, the shard of the pod's
# number. `sed -f ops/k8s/table.sed supervisord.conf`; tests/ops/test_k8s.py holds what it changes.
s/^numprocs=.*/numprocs=1\
numprocs_start=%(ENV_ORDERBOOKS_SHARD)s/
s/ --shards=%(numprocs)d$/ --shards=%(ENV_ORDERBOOKS_SHARDS)s/
