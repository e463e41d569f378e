"""Lives: how processes start, end, and who watches over them."""
