"""ManiSkill: manipulation tasks on SAPIEN, one scene a row on the CPU, all rows in one on a GPU."""
