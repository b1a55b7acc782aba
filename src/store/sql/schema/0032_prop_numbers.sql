-- 0032_prop_numbers: nodes by a number that a property has, as clients ask for in filters.
CREATE INDEX prop_i ON prop (key, i) WHERE i IS NOT NULL;
