"""x86 CPUs without VNNI: which int8 products saturate there, weights that cannot, and what such a CPU computes."""
