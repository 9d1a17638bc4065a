# The cache's interface in Cap'n Proto.
@0xa7d1c5f0e3b2946d;

interface Cache {
  get @0 (key :Data) -> (found :Bool, value :Data);
  set @1 (key :Data, value :Data) -> ();
}
